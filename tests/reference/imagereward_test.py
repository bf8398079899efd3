"""The imagereward reward, through its converter and the host, against transformers' BLIP on small random models: the weights in
the names of ImageReward.pt, pictures cut as torchvision cuts them."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import parity_tool
import pytest
import torch
from clip_folder import CLIPImageProcessorPil, pil_pictures, random_frames
from PIL import Image
from random_weights import randomise
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertTokenizer, BlipTextConfig, BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel

CONVERTER = pathlib.Path(__file__).resolve().parents[2] / "plugins/imagereward/convert_imagereward.py"
SIDE, LENGTH, TOLERANCE = 32, 35, 1e-5
MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072
BERT = "[PAD] [UNK] [CLS] [SEP] [MASK] a the red blue circle square cafe of , . ! 中 文 ##s ##ular un".split()
PROMPTS = ["a red circle", "", "A Café, of circles!", "the 中文 zebra", "a red square " * 20, "unknown words everywhere: circular"]
SIZES = [(32, 32), (40, 64), (51, 32), (35, 33), (17, 20)]  # 51 - 32 and 35 - 33 * 32 // 33 are odd: half a pixel


class Peer(nn.Module):
    """Layer for layer ImageReward/ImageReward.py, with transformers' BLIP."""

    def __init__(self, vocabulary):
        super().__init__()
        self.vision_model = BlipVisionModel(BlipVisionConfig(
            image_size=SIDE, patch_size=8, hidden_size=128, intermediate_size=160, num_hidden_layers=3, num_attention_heads=2,
            layer_norm_eps=1e-6))
        self.text_encoder = BlipTextModel(BlipTextConfig(
            vocab_size=len(vocabulary), hidden_size=192, encoder_hidden_size=128, intermediate_size=200, num_hidden_layers=2,
            num_attention_heads=3, max_position_embeddings=40, is_decoder=True), add_pooling_layer=False)
        sizes = [192, 1024, 128, 64, 16, 1]
        layers = [nn.Linear(*pair) for pair in zip(sizes, sizes[1:])]
        self.mlp = nn.ModuleDict({"layers": nn.Sequential(layers[0], nn.Dropout(0.2), layers[1], nn.Dropout(0.2), layers[2],
                                                          nn.Dropout(0.1), *layers[3:])})
        ids = {piece: i for i, piece in enumerate(vocabulary)}
        self.tokenizer = BertTokenizer(vocab=ids)

    def forward(self, pixels, prompts):
        """[N], of N pictures and prompts; padded and masked as the authors do it."""
        text = self.tokenizer(list(prompts), padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        picture = self.vision_model(pixel_values=pixels).last_hidden_state
        features = self.text_encoder(text.input_ids, attention_mask=text.attention_mask, encoder_hidden_states=picture,
                                     encoder_attention_mask=torch.ones(picture.shape[:-1], dtype=torch.long),
                                     is_decoder=False).last_hidden_state
        return (self.mlp["layers"](features[:, 0])[:, 0] - MEAN) / DEVIATION


def original_name(name):
    """Of a parameter of the peer, in ImageReward.pt."""
    parts = name.split(".", 1)
    if parts[0] == "text_encoder":
        return "blip." + name
    if parts[0] == "mlp":
        return name
    whole = {"embeddings.class_embedding": "cls_token", "embeddings.position_embedding": "pos_embed"}
    swaps = [("embeddings.patch_embedding", "patch_embed.proj"), ("post_layernorm", "norm"), ("encoder.layers", "blocks"),
             ("layer_norm", "norm"), ("self_attn.qkv", "attn.qkv"), ("self_attn.projection", "attn.proj")]
    renamed = whole.get(parts[1], parts[1])
    for new, old in swaps:
        renamed = renamed.replace(new, old)
    return "blip.visual_encoder." + renamed


def original_state(peer):
    state = {original_name(name): parameter.detach().clone() for name, parameter in peer.named_parameters()}
    for name, inputs in [("vision_proj", 128), ("text_proj", 192)]:
        state[f"blip.{name}.weight"], state[f"blip.{name}.bias"] = torch.rand(8, inputs), torch.rand(8)
    state["blip.text_encoder.embeddings.position_ids"] = torch.arange(40)[None]
    return state


def convert(folder, *, state=None, vocabulary=BERT, out="out"):
    """The finished process, of the files that stand in `folder`."""
    torch.save(state, folder / "ImageReward.pt")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SIDE).save_pretrained(folder)
    return subprocess.run([sys.executable, CONVERTER, folder / "ImageReward.pt", folder / "vocab.txt",
                           folder / "preprocessor_config.json", folder / out], capture_output=True, text=True)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    root, peer = tmp_path_factory.mktemp("imagereward"), randomise(Peer(BERT + ["[DEC]", "[ENC]"]), 31)
    with torch.no_grad():  # rows of a table, not matrices that multiply
        for name, parameter in peer.named_parameters():
            if "embedding" in name and "patch" not in name and "LayerNorm" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(32)))
    done = convert(root, state=original_state(peer))
    assert done.returncode == 0, done.stderr
    return root / "out", peer


def reward(scratch, config, frames, prompts, cotangent=None):
    """The process, and what it wrote. frames: [B,F,3,H,W]."""
    save_file({"frames": frames.contiguous()} | ({} if cotangent is None else {"cotangent": cotangent}), scratch / "in.safetensors")
    (scratch / "job.json").write_text(json.dumps({"config": config, "prompts": prompts}))
    target = scratch / "out.safetensors"
    target.unlink(missing_ok=True)
    done = subprocess.run([parity_tool.BUILD / "tests/reward", parity_tool.BUILD / "plugins/imagereward.so", scratch / "job.json",
                           scratch / "in.safetensors", target], capture_output=True, text=True, timeout=300)
    return done, load_file(target) if target.exists() else {}


def scored(scratch, folder, frames, prompts, cotangent=None, **config):
    done, results = reward(scratch, {"model": str(folder), **config}, frames, prompts, cotangent)
    assert done.returncode == 0, done.stderr
    return results


def cropped(pictures, height, width):
    """Rows and columns that torchvision.transforms.CenterCrop keeps."""
    top, left = round((height - SIDE) / 2.0), round((width - SIDE) / 2.0)
    return pictures[..., top:top + SIDE, left:left + SIDE]


def resized_sides(height, width):
    shorter = min(height, width)
    return int(SIDE * height / shorter), int(SIDE * width / shorter)


def normalized(pictures):
    mean, std = (torch.tensor(v).view(3, 1, 1)
                 for v in ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))
    return (pictures - mean) / std


def authors_pixels(frames):
    """Resize(bicubic), CenterCrop, ToTensor, Normalize of torchvision, of PIL pictures."""
    height, width = resized_sides(*frames.shape[-2:])
    pictures = [picture.resize((width, height), Image.BICUBIC) for picture in pil_pictures(frames)]
    levels = torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures])
    return normalized(cropped(levels, height, width).float() / 255)


def smooth_pixels(frames):
    """The same by torch's resize, without rounding."""
    height, width = resized_sides(*frames.shape[-2:])
    return normalized(cropped(nn.functional.interpolate(frames, (height, width), mode="bicubic", antialias=True), height, width))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_scores(size, converted, tmp_path):
    folder, peer = converted
    frames = random_frames(sum(size), len(PROMPTS), *size)
    values = scored(tmp_path, folder, frames[:, None], PROMPTS)["values"]
    with torch.no_grad():
        theirs = peer(authors_pixels(frames), PROMPTS)
    error = parity_tool.max_error(values[:, 0], theirs)
    print(f"largest difference {error:.2g} of scores that deviate by {theirs.std():.2g}")
    assert theirs.std() > 100 * TOLERANCE and error <= TOLERANCE


def test_picture_and_prompt_both_matter(converted, tmp_path):
    frames = random_frames(1, 2, 32, 32)[:, None]
    values = scored(tmp_path, converted[0], frames[[0, 0, 1]], ["a red circle", "a blue circle", "a red circle"])["values"][:, 0]
    assert abs(values[0] - values[1]) > 1e-3 and abs(values[0] - values[2]) > 1e-3


def test_video_is_the_mean_over_frames(converted, tmp_path):
    videos = random_frames(9, 6, 36, 44).view(2, 3, 3, 36, 44)
    together = scored(tmp_path, converted[0], videos, PROMPTS[:2])["values"]
    single = scored(tmp_path, converted[0], videos.flatten(0, 1)[:, None], [p for p in PROMPTS[:2] for _ in range(3)])["values"]
    assert parity_tool.max_error(together, single.view(2, 3, 1).mean(1)) <= 1e-6


@pytest.mark.parametrize("size", [(40, 64), (17, 20)], ids=str)
def test_gradient(size, converted, tmp_path):
    folder, peer = converted
    frames = random_frames(10, 4, *size).view(2, 2, 3, *size)
    cotangent = torch.randn(2, 1, generator=torch.Generator().manual_seed(1))
    ours = scored(tmp_path, folder, frames, PROMPTS[2:4], cotangent, preprocess="smooth")
    x = frames.clone().requires_grad_(True)
    theirs = peer(smooth_pixels(x.flatten(0, 1)), [p for p in PROMPTS[2:4] for _ in range(2)]).view(2, 2).mean(1)
    (theirs * cotangent[:, 0]).sum().backward()
    assert parity_tool.max_error(ours["values"][:, 0], theirs.detach()) <= TOLERANCE
    error, scale = parity_tool.max_error(ours["gradient"], x.grad), x.grad.abs().max().item()
    print(f"gradient up to {scale:.2g}, largest difference {error:.2g}")
    assert error <= TOLERANCE * scale


def test_no_gradient_through_rounding(converted, tmp_path):
    done, _ = reward(tmp_path, {"model": str(converted[0])}, random_frames(1, 1, 32, 32)[:, None], ["a"], torch.ones(1, 1))
    assert done.returncode == 2 and "no gradient" in done.stderr, done.stderr


def test_scores_do_not_depend_on_the_batch(converted, tmp_path):
    frames, prompts = random_frames(13, 6, 40, 40)[:, None], PROMPTS
    together = scored(tmp_path, converted[0], frames, prompts)["values"]
    order = [3, 1, 5, 0, 2, 4]
    assert torch.equal(scored(tmp_path, converted[0], frames[order], [prompts[i] for i in order])["values"], together[order])
    for i in (0, 4):
        assert torch.equal(scored(tmp_path, converted[0], frames[i:i + 1], prompts[i:i + 1])["values"], together[i:i + 1])


def test_pictures_without_numbers_are_not_scored(converted, tmp_path):
    frames = torch.rand(3, 2, 3, 32, 32)
    frames[1, 1, 2, 30, 4] = float("nan")
    frames[2, 0, 0, 0, 0] = float("inf")
    values = scored(tmp_path, converted[0], frames, ["a"] * 3)["values"]
    assert torch.isfinite(values[:, 0]).tolist() == [True, False, False]
