"""HPSv2 and PickScore as scores of the clip reward: weights in open_clip's names through the converter, pictures letterboxed as
HPSv2 does it, against transformers and torch on a small random model."""

import pathlib
import subprocess
import sys

import clip_folder
import parity_tool
import pytest
import torch
from clip_folder import PROMPTS, random_frames
from clip_reward_test import reward, scored
from random_weights import randomise
from tokenizer_parity import word_vocabulary
from torch import nn
from transformers import CLIPConfig, CLIPModel

CONVERTER = pathlib.Path(__file__).resolve().parents[2] / "plugins/clip/convert_open_clip.py"
SIDE, TOLERANCE = 32, 1e-5


def make_model():
    """Heads as wide as ViT-H-14's: 80 and 64."""
    shared = dict(hidden_act="gelu", num_hidden_layers=2, num_attention_heads=2)
    text = dict(vocab_size=len(word_vocabulary()[0]), hidden_size=128, intermediate_size=192, eos_token_id=2,
                max_position_embeddings=clip_folder.LENGTH, **shared)
    vision = dict(image_size=SIDE, patch_size=8, hidden_size=160, intermediate_size=200, **shared)
    return randomise(CLIPModel(CLIPConfig(projection_dim=48, text_config=text, vision_config=vision)), 21).eval()


def in_open_clip_names(model):
    state = dict(model.state_dict())
    out = {"logit_scale": state["logit_scale"], "text_projection": state["text_projection.weight"].T,
           "visual.proj": state["visual_projection.weight"].T}
    for ours, theirs in [("", "text_model"), ("visual.", "vision_model")]:
        position = f"{theirs}.embeddings.position_embedding.weight"
        out[f"{ours}positional_embedding"] = state[position]
        for layer in range(2):
            mine, old = f"{ours}transformer.resblocks.{layer}.", f"{theirs}.encoder.layers.{layer}."
            for kind in ("weight", "bias"):
                out[f"{mine}attn.in_proj_{kind}"] = torch.cat([state[f"{old}self_attn.{part}_proj.{kind}"] for part in "qkv"])
                for new, name in [("attn.out_proj", "self_attn.out_proj"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
                                  ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2")]:
                    out[f"{mine}{new}.{kind}"] = state[f"{old}{name}.{kind}"]
    out["token_embedding.weight"] = state["text_model.embeddings.token_embedding.weight"]
    out["visual.class_embedding"] = state["vision_model.embeddings.class_embedding"]
    out["visual.conv1.weight"] = state["vision_model.embeddings.patch_embedding.weight"]
    for kind in ("weight", "bias"):
        out[f"ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
        out[f"visual.ln_pre.{kind}"] = state[f"vision_model.pre_layrnorm.{kind}"]
        out[f"visual.ln_post.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
    return {name: tensor.clone() for name, tensor in out.items()}


def convert(*arguments):
    return subprocess.run([sys.executable, CONVERTER, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    root, model = tmp_path_factory.mktemp("hpsv2"), make_model()
    (root / "clip").mkdir()
    clip_folder.make_tokenizer(root / "clip")
    clip_folder.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SIDE).save_pretrained(root / "clip")
    torch.save({"epoch": 1, "state_dict": in_open_clip_names(model)}, root / "HPS.pt")
    done = convert(root / "HPS.pt", root / "clip", root / "out", "--vision-head-width", 80)
    assert done.returncode == 0, done.stderr
    return root / "out", model


def test_transformers_reads_what_is_written(converted):
    folder, model = converted
    found = CLIPModel.from_pretrained(folder)
    for (name, one), (other_name, other) in zip(sorted(model.state_dict().items()), sorted(found.state_dict().items())):
        assert name == other_name and torch.equal(one, other), name
    pixels = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        for one, other in zip(*(clip_folder.unit_embeds(m, folder, pixels, PROMPTS[:2]) for m in (model, found.eval()))):
            assert torch.equal(one, other)


def letterboxed(frames, processor):
    """As torchvision's resize of a tensor has it, and its padding."""
    height, width = frames.shape[-2:]
    scale = SIDE / max(height, width)
    rows, columns = round(height * scale), round(width * scale)
    resized = nn.functional.interpolate(frames, (rows, columns), mode="bicubic", antialias=True, align_corners=False)
    above, left = (SIDE - rows) // 2, (SIDE - columns) // 2
    boxed = nn.functional.pad(resized, (left, SIDE - columns - left, above, SIDE - rows - above))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (processor.image_mean, processor.image_std))
    return (boxed - mean) / std


@pytest.mark.parametrize("size", [(40, 64), (17, 20), (99, 31), (32, 32), (5, 16)], ids=str)
def test_scores_and_gradients(size, converted, tmp_path):
    folder, model = converted
    x = random_frames(3, 4, *size).requires_grad_(True)
    images, texts = clip_folder.unit_embeds(model, folder, letterboxed(x, clip_folder.image_processor(folder)), PROMPTS)
    theirs = (images * texts).sum(-1)
    cotangent = torch.randn(4, 1, generator=torch.Generator().manual_seed(1))
    (theirs * cotangent[:, 0]).sum().backward()
    ours = scored(tmp_path, {"model": str(folder), "scores": ["hpsv2"]}, x.detach()[:, None], PROMPTS, cotangent)
    assert theirs.std() > 100 * TOLERANCE
    assert parity_tool.max_error(ours["values"][:, 0], theirs.detach()) <= TOLERANCE
    assert parity_tool.max_error(ours["gradient"][:, 0], x.grad) <= TOLERANCE * max(1.0, x.grad.abs().max().item())


def test_pickscore_is_the_logit_over_26(converted, tmp_path):
    folder, _ = converted
    frames = random_frames(4, 4, 40, 50)[:, None]
    pick, logit = (scored(tmp_path, {"model": str(folder), "scores": [name]}, frames, PROMPTS)["values"]
                   for name in ("pickscore", "logit"))
    assert parity_tool.max_error(pick * 26, logit) <= 1e-5


@pytest.mark.parametrize("config,said", [
    ({"scores": ["hpsv2", "cosine"]}, "stands alone"), ({"scores": ["hpsv2"], "preprocess": "exact"}, 'must be "letterbox"'),
    ({"preprocess": "crop"}, "known: exact, smooth, letterbox"), ({"preprocess": ""}, "known: exact, smooth, letterbox"), ({"scores": ["hpsv3"]}, 'did you mean "hpsv2"')], ids=str)
def test_refused(config, said, converted, tmp_path):
    done, _ = reward(tmp_path, {"model": str(converted[0]), **config}, torch.rand(1, 1, 3, 32, 32), ["a"])
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_other_weights_are_not_written(converted, tmp_path):
    folder, model = converted
    state = in_open_clip_names(model)
    torch.save({**state, "visual.attn_pool.query": torch.zeros(1)}, tmp_path / "more.pt")
    torch.save({name: tensor for name, tensor in state.items() if name != "ln_final.bias"}, tmp_path / "less.pt")
    for name, said in [("more", "visual.attn_pool.query"), ("less", "missing: text_model.final_layer_norm.bias")]:
        done = convert(tmp_path / f"{name}.pt", folder, tmp_path / "out")
        assert done.returncode == 1 and said in done.stderr and not (tmp_path / "out").exists()
