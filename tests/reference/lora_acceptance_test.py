"""LoRA files that Thalweg writes, as diffusers loads them: in the layout that is written, and rewritten in layouts that
others use. The table says which of those diffusers (0.42) takes for Stable Diffusion 3, and what it does with the rest:
why there is one layout only that is worth writing. Thalweg reads them all."""

import json

import pytest
import tiny_sd3
import torch
from diffusers import StableDiffusion3Pipeline
from lora_parity_test import align_job
from peft.tuners.lora import LoraLayer
from pipeline_parity_test import PROMPTS, assert_same, diffusers_pictures, noise_for, thalweg_pictures
from program import ROOT, run_job, thalweg
from safetensors import safe_open
from safetensors.torch import load_file, save_file

RANK, ALPHA = 4, 8
MODEL = dict(transformer=dict(qk_norm="rms_norm", dual_attention_layers=(0,)), seed=90)
TARGETS = ["attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "attn.add_k_proj", "attn.to_add_out", "attn2.to_k",
           "ff.net.0.proj", "ff_context.net.2", "norm1.linear", "norm_out.linear", "proj_out", "context_embedder"]


def module_of(name):
    return name.removeprefix("transformer.").rsplit(".lora_", 1)[0]


def renamed(rule):
    return lambda tensors: {rule(name): tensor for name, tensor in tensors.items()}


def with_alpha(tensors):
    return {**tensors, **{f"transformer.{module_of(name)}.alpha": torch.tensor(float(ALPHA)) for name in tensors}}


def kohya(name):
    half = "lora_down" if name.endswith("lora_A.weight") else "lora_up"
    return "lora_unet_" + module_of(name).replace(".", "_") + f".{half}.weight"


def old(name):
    return name.replace(".lora_A.", ".lora.down.").replace(".lora_B.", ".lora.up.")


# Layout, how our file becomes it, whether it keeps our metadata, and what diffusers makes of it: the scale that it
# applies, an exception, NOTHING: no layer is adapted, UNSET: layers are, but without weights, and drawing fails.
# NOTHING is not seen by a user.
NOTHING, UNSET = "nothing", "unset"
MATRIX = [
    ("as_written", lambda tensors: tensors, True, ALPHA / RANK),
    ("without_metadata", lambda tensors: tensors, False, 1.0),
    ("with_alpha_tensors", with_alpha, True, ValueError),
    ("no_prefix", renamed(lambda name: name.removeprefix("transformer.")), True, NOTHING),
    ("peft", renamed(lambda name: name.replace("transformer.", "base_model.model.", 1)), True, NOTHING),
    ("adapter_name", renamed(lambda name: name.replace(".weight", ".default.weight")), True, UNSET),
    ("comfyui", renamed(lambda name: name.replace("transformer.", "diffusion_model.", 1)), True, NOTHING),
    ("kohya", renamed(kohya), True, NOTHING),
    ("old_diffusers", renamed(old), False, 1.0),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The model's folder, and the LoRA of a short run on it."""
    scratch = tmp_path_factory.mktemp("acceptance")
    tiny_sd3.make_folder(scratch / "model", **MODEL)
    job = align_job(scratch / "model", scratch, "diffusion_nft", {"rank": RANK, "alpha": ALPHA, "targets": TARGETS})
    return scratch / "model", run_job(scratch / "run", job) / "pytorch_lora_weights.safetensors"


def read(path):
    with safe_open(path, "pt") as file:
        return load_file(path), file.metadata()


def adapted(pipe):
    return {name: layer for name, layer in pipe.transformer.named_modules() if isinstance(layer, LoraLayer)}


def effect(layer):
    """What the adapter adds to a layer's output, as the matrix it is; in float64, where a difference is exact enough."""
    layer = layer.double()
    eye = torch.eye(layer.in_features, dtype=torch.float64)
    with torch.no_grad():
        return (layer(eye) - layer.base_layer(eye)).T


@pytest.mark.parametrize("layout,rewrite,keeps_metadata,outcome", MATRIX, ids=[row[0] for row in MATRIX])
def test_acceptance(layout, rewrite, keeps_metadata, outcome, written, tmp_path):
    model, path = written
    tensors, metadata = read(path)
    assert all(tensor.abs().max() > 0 for tensor in tensors.values())
    target = tmp_path / "pytorch_lora_weights.safetensors"
    save_file(rewrite(tensors), target, metadata if keeps_metadata else {"format": "pt"})
    shown = thalweg("lora", target, "--model", model)
    assert shown.returncode == 0, shown.stderr
    modules = {module_of(name) for name in tensors}
    assert f"all {len(modules)} modules match" in shown.stdout

    pipe = tiny_sd3.load(model)
    if isinstance(outcome, type):
        with pytest.raises(outcome):
            pipe.load_lora_weights(tmp_path)
        return
    pipe.load_lora_weights(tmp_path)
    layers = adapted(pipe)
    assert set(layers) == (set() if outcome == NOTHING else modules)
    if outcome == UNSET:
        assert all(layer.lora_A["default_0"].weight.is_meta for layer in layers.values())
        return
    for name, layer in layers.items():
        down, up = (tensors[f"transformer.{name}.lora_{half}.weight"].double() for half in "AB")
        expected = up @ down * outcome
        assert (up @ down).abs().max() > 1e-4
        assert (effect(layer) - expected).abs().max() <= 1e-6, name


def test_real_run_of_the_embedded_model(tmp_path):
    """Trained by Thalweg, drawn by diffusers and by Thalweg from the same noise."""
    model = ROOT / "assets" / "models" / "tiny-sd3"
    job = json.loads((ROOT / "assets" / "jobs" / "redness_tiny.json").read_text())
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\na blue square\n")
    job.pop("version"), job.pop("output")
    job |= {"iterations": 3, "name": "real run", "parallel": {"workers": 2, "micro_batch": 4},
            "prompts": {"train": str(prompts), "select": str(prompts), "eval": str(prompts)}}
    job["model"] = {"path": str(model), "max_sequence_length": 1, "lora": {"rank": 8, "alpha": 16}}
    job["method"] |= {"prompts_per_iteration": 2, "group_size": 4}
    job["optimizer"] = {"learning_rate": 0.003}
    job["evaluate"] = {"every": 3, "steps": 4, "pictures": 2}
    path = run_job(tmp_path / "run", job) / "pytorch_lora_weights.safetensors"

    call = dict(guidance_scale=2.0, tokens=1, negative="", size=(64, 64), steps=6)
    pipe = StableDiffusion3Pipeline.from_pretrained(model, text_encoder_3=None, tokenizer_3=None,
                                                    dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    prompts = ["a red circle", "two blue squares"]
    noise = noise_for(pipe, call["size"], 2)
    base = diffusers_pictures(pipe, noise, call, prompts)
    pipe.load_lora_weights(path.parent)
    assert len(adapted(pipe)) == 6 * 8 - 1  # the last block has no to_add_out
    theirs = diffusers_pictures(pipe, noise, call, prompts)
    ours = thalweg_pictures(model, noise, call, tmp_path, prompts, model={"lora": {"path": str(path)}})
    assert (theirs[0] - base[0]).abs().max() > 0.01
    assert_same(ours, theirs)
    with safe_open(path, "pt") as file:
        assert file.metadata()["modelspec.title"] == "real run"
