"""LoRA files of others: one adapter in every layout gives one picture; PEFT's own folders; files of kohya's sd-scripts
with the names of the model's original code, held against diffusers' own conversion of whole checkpoints."""

import json

import pytest
import tiny_sd3
import torch
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from lora_acceptance_test import kohya, module_of, old, renamed
from lora_parity_test import CALL, refused
from peft import LoraConfig, get_peft_model
from pipeline_parity_test import PROMPTS, TOLERANCE, assert_same, diffusers_pictures, noise_for, thalweg_pictures
from program import thalweg
from safetensors import safe_open
from safetensors.torch import load_file, save_file

MODEL = dict(transformer=dict(qk_norm="rms_norm", dual_attention_layers=(0,), num_layers=3), seed=95)
RANK = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts") / "model"
    pipe = tiny_sd3.make_folder(folder, **MODEL)
    return folder, noise_for(pipe, CALL["size"], len(PROMPTS))


def linear_layers(pipe):
    return {name: layer for name, layer in pipe.transformer.named_modules() if isinstance(layer, torch.nn.Linear)}


def random_pairs(shapes, gain=0.3, seed=7):
    """lora_A and lora_B of each module, by its (out, in)."""
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name, (rows, columns) in shapes.items():
        pairs[name] = (torch.randn(RANK, columns, generator=generator) / columns**0.5,
                       torch.randn(rows, RANK, generator=generator) * gain / RANK**0.5)
    return pairs


def canonical(pairs):
    return {f"transformer.{name}.lora_{half}.weight": tensor for name, pair in pairs.items()
            for half, tensor in zip("AB", pair)}


LAYOUTS = {
    "no_prefix": renamed(lambda name: name.removeprefix("transformer.")),
    "adapter_name": renamed(lambda name: name.replace(".weight", ".default.weight")),
    "comfyui": renamed(lambda name: name.replace("transformer.", "diffusion_model.", 1)),
    "old_diffusers": renamed(old),
    "kohya": renamed(kohya),
    "onetrainer": renamed(lambda name: kohya(name).replace("lora_unet_", "lora_transformer_")),
    "lycoris": renamed(lambda name: kohya(name).replace("lora_unet_", "lycoris_")),
}


def test_every_layout_gives_one_picture(model, tmp_path):
    folder, noise = model
    pipe = tiny_sd3.load(folder)
    layers = linear_layers(pipe)
    tensors = canonical(random_pairs({name: layer.weight.shape for name, layer in layers.items()}))
    path = tmp_path / "lora.safetensors"
    drawn = {}
    for name, layout in {"canonical": lambda t: t, **LAYOUTS}.items():
        save_file(layout(tensors), path)
        assert f"all {len(layers)} modules match" in thalweg("lora", path, "--model", folder).stdout, name
        drawn[name] = thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": {"path": str(path)}})
    base = diffusers_pictures(pipe, noise, CALL)
    save_file(tensors, path)
    pipe.load_lora_weights(path)
    theirs = diffusers_pictures(pipe, noise, CALL)
    assert (theirs[0] - base[0]).abs().max() > 100 * TOLERANCE
    for name, ours in drawn.items():
        assert_same(ours, theirs)
        assert all(torch.equal(mine, first) for mine, first in zip(ours, drawn["canonical"])), name


PEFT = [
    dict(r=3, lora_alpha=6, target_modules=["to_q", "to_v", "ff.net.2"]),
    dict(r=4, lora_alpha=4, target_modules=["to_k", "to_out.0", "proj_out"], use_rslora=True,
         rank_pattern={"to_k": 2}, alpha_pattern={"transformer_blocks.1.attn.to_k": 7, "proj_out": 3}),
    dict(r=2, lora_alpha=5, target_modules=["norm1.linear", "pos_embed.proj"]),
]


@pytest.mark.parametrize("options", PEFT, ids=["plain", "patterns", "convolution"])
def test_folder_of_peft(options, model, tmp_path):
    folder, noise = model
    pipe = tiny_sd3.load(folder)
    torch.manual_seed(4)
    wrapped = get_peft_model(pipe.transformer, LoraConfig(init_lora_weights=False, **options))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.5 / parameter.shape[1:].numel()**0.5)
    wrapped.save_pretrained(tmp_path / "peft")
    theirs = diffusers_pictures(pipe, noise, CALL)
    for path in [tmp_path / "peft", tmp_path / "peft" / "adapter_model.safetensors"]:
        assert_same(thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": {"path": str(path)}}), theirs)
    converted = tmp_path / "pytorch_lora_weights.safetensors"
    done = thalweg("lora", tmp_path / "peft", "--model", folder, "--to", converted)
    assert done.returncode == 0, done.stderr
    fresh = tiny_sd3.load(folder)
    fresh.load_lora_weights(converted)
    assert_same(diffusers_pictures(fresh, noise, CALL), theirs)
    (tmp_path / "peft" / "adapter_config.json").unlink()
    assert "adapter_config.json" in refused(folder, tmp_path / "peft", tmp_path)


def native_shapes(config):
    """Layers of the original code, by name: the shapes of their weights."""
    width = config.num_attention_heads * config.attention_head_dim
    shapes = {"context_embedder": (width, config.joint_attention_dim), "t_embedder.mlp.0": (width, 256),
              "t_embedder.mlp.2": (width, width), "y_embedder.mlp.0": (width, config.pooled_projection_dim),
              "y_embedder.mlp.2": (width, width), "final_layer.adaLN_modulation.1": (2 * width, width),
              "final_layer.linear": (config.patch_size**2 * config.out_channels, width)}
    for i in range(config.num_layers):
        last, dual = i == config.num_layers - 1, i in config.dual_attention_layers
        for block, whole in [("x_block", True), ("context_block", not last)]:
            at = f"joint_blocks.{i}.{block}."
            parts = (9 if dual and block == "x_block" else 6) if whole else 2
            shapes |= {at + "attn.qkv": (3 * width, width), at + "adaLN_modulation.1": (parts * width, width)}
            if whole:
                shapes |= {at + "attn.proj": (width, width), at + "mlp.fc1": (4 * width, width),
                           at + "mlp.fc2": (width, 4 * width)}
            if dual and block == "x_block":
                shapes |= {at + "attn2.qkv": (3 * width, width), at + "attn2.proj": (width, width)}
    return shapes


def differences_of(shapes, deltas, config):
    """What a checkpoint of the original code changes by, under diffusers' names: conversion is linear."""
    width = config.num_attention_heads * config.attention_head_dim
    checkpoint = {"pos_embed": torch.zeros(1, 4, width), "x_embedder.proj.weight": deltas.pop("x_embedder.proj"),
                  "x_embedder.proj.bias": torch.zeros(width)}
    for name, (rows, columns) in shapes.items():
        checkpoint[name + ".weight"] = deltas[name]
        checkpoint[name + ".bias"] = torch.zeros(rows)
        if name.endswith("qkv"):
            for norm in ["ln_q", "ln_k"]:
                checkpoint[name.replace("qkv", norm) + ".weight"] = torch.zeros(config.attention_head_dim)
    converted = convert_sd3_transformer_checkpoint_to_diffusers(checkpoint)
    return {name.removesuffix(".weight"): tensor for name, tensor in converted.items()
            if name.endswith(".weight") and tensor.dim() > 1}


@pytest.mark.parametrize("prefix", ["lora_unet_", "diffusion_model."])
def test_names_of_the_original_code(prefix, model, tmp_path):
    """Every layer, fused or turned, each with a rank and an alpha of its own."""
    folder, noise = model
    config = tiny_sd3.load(folder).transformer.config
    shapes = native_shapes(config)
    file, deltas = {}, {}
    generator = torch.Generator().manual_seed(12)
    width = config.num_attention_heads * config.attention_head_dim
    patch = (config.in_channels, config.patch_size, config.patch_size)
    for i, (name, (rows, columns)) in enumerate([*shapes.items(), ("x_embedder.proj", (width, None))]):
        rank, alpha = 1 + i % 4, 0.5 + i % 3
        inputs = patch if columns is None else (columns,)
        down = torch.randn(rank, *inputs, generator=generator) * 0.3
        up = torch.randn(rows, rank, generator=generator) * 0.3
        deltas[name] = (up.double() @ down.flatten(1).double() * alpha / rank).view(rows, *inputs)
        module = prefix + (name if prefix.endswith(".") else name.replace(".", "_"))
        file |= {f"{module}.lora_down.weight": down, f"{module}.alpha": torch.tensor(alpha),
                 f"{module}.lora_up.weight": up if columns else up[:, :, None, None]}
    save_file(file, tmp_path / "native.safetensors", {"ss_base_model_version": "sd3", "modelspec.title": "native"})
    done = thalweg("lora", tmp_path / "native.safetensors", "--model", folder, "--to", tmp_path / "converted.safetensors")
    assert done.returncode == 0, done.stderr
    assert f"all {len(deltas)} modules match" in done.stdout
    with safe_open(tmp_path / "converted.safetensors", "pt") as opened:
        metadata = opened.metadata()
    assert metadata["modelspec.title"] == "native" and metadata["ss_network_dim"] == str(
        json.loads(metadata["lora_adapter_metadata"])["transformer.r"])
    written = {key.removeprefix("transformer."): value for key, value in json.loads(metadata["lora_adapter_metadata"]).items()}
    tensors = load_file(tmp_path / "converted.safetensors")
    expected = differences_of(shapes, deltas, config)
    assert {module_of(name) for name in tensors} == set(expected)
    worst = 0.0
    for name, delta in expected.items():
        down, up = (tensors[f"transformer.{name}.lora_{half}.weight"].double() for half in "AB")
        assert delta.abs().max() > 1e-3
        assert down.shape[0] == written["rank_pattern"].get("^" + name, written["r"])
        up *= written["alpha_pattern"].get("^" + name, written["lora_alpha"]) / down.shape[0]
        worst = max(worst, ((up.flatten(1) @ down.flatten(1)).view(delta.shape) - delta).abs().max().item())
    assert worst <= 1e-6
    print(f"{len(deltas)} modules of the original code, {len(expected)} layers: largest error {worst:.1e}")
    # And the picture of what was converted is that of the file itself, in both programs.
    ours = thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": {"path": str(tmp_path / "native.safetensors")}})
    pipe = tiny_sd3.load(folder)
    pipe.load_lora_weights(tmp_path / "converted.safetensors")
    assert_same(ours, diffusers_pictures(pipe, noise, CALL))


def test_split_qkv_of_kohya(model, tmp_path):
    """sd-scripts trains q, k and v apart and saves them as one pair of three times the rank, zeros between."""
    folder, noise = model
    pairs = random_pairs({f"transformer_blocks.1.attn.to_{part}": (16, 16) for part in "qkv"})
    save_file(canonical(pairs), tmp_path / "canonical.safetensors")
    module = "lora_unet_joint_blocks_1_x_block_attn_qkv"
    save_file({f"{module}.lora_down.weight": torch.cat([down for down, up in pairs.values()]),
               f"{module}.lora_up.weight": torch.block_diag(*[up for down, up in pairs.values()]),
               f"{module}.alpha": torch.tensor(3.0 * RANK)}, tmp_path / "split.safetensors")
    draw = lambda name: thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": {"path": str(tmp_path / name)}})
    assert_same(draw("split.safetensors"), draw("canonical.safetensors"))


def test_what_is_left_out_is_said(model, tmp_path):
    folder, noise = model
    tensors = canonical(random_pairs({"transformer_blocks.0.attn.to_q": (16, 16)}))
    foreign = canonical(random_pairs({f"transformer_blocks.{i}.attn.to_q": (16, 16) for i in range(7, 11)}))
    te = {"lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": torch.tensor(1.0)}
    save_file({**tensors, **foreign, **te}, tmp_path / "lora.safetensors")
    lora = {"path": str(tmp_path / "lora.safetensors")}
    assert "text_encoders" in refused(folder, lora["path"], tmp_path)
    ours = thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": {**lora, "text_encoders": "ignore"}})
    save_file(tensors, tmp_path / "lora.safetensors")
    assert_same(ours, thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": lora}))

    save_file(foreign, tmp_path / "lora.safetensors")
    assert "not one of its 4 modules" in refused(folder, lora["path"], tmp_path)
    done = thalweg("lora", lora["path"], "--model", folder)
    assert done.returncode == 2 and "not one of its 4 modules" in done.stderr
    assert "rank          3" in done.stdout
    assert thalweg("lora", lora["path"]).returncode == 0
    assert "--model" in thalweg("lora", lora["path"], "--to", tmp_path / "x").stderr
    assert thalweg("lora", tmp_path / "nowhere").returncode == 2
