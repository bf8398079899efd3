"""FLUX.1 folders: the `sample` job against diffusers' FluxPipeline on the same noise, LoRA in both directions, and jobs
that train one."""

import json
import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import tiny_flux
from lora_acceptance_test import kohya, renamed
from pipeline_parity_test import PROMPTS, TOLERANCE, assert_same, thalweg_pictures
from program import run_job, thalweg

STATIC = dict(shift=1.0)  # of schnell
EMBEDDED, CLASSIFIER_FREE = dict(embedded=3.5), dict(embedded=2.0, guidance_scale=3.0, negative="a big circle")

# Name, make_folder()'s arguments, and the call.
CASES = [
    ("dev", dict(seed=10), dict(size=(32, 48), steps=4, tokens=16, **EMBEDDED)),
    ("schnell", dict(transformer=dict(guidance_embeds=False), scheduler=STATIC, seed=20),
     dict(size=(16, 16), steps=4, tokens=9)),
    ("classifier_free_beside_it", dict(tokenizer="files", seed=30), dict(size=(32, 16), steps=3, tokens=7, **CLASSIFIER_FREE)),
    ("axes", dict(transformer=dict(attention_head_dim=24, axes_dims_rope=(8, 6, 10), num_layers=2, num_single_layers=1),
                  scheduler=dict(shift=2.5), seed=40), dict(size=(16, 64), steps=5, tokens=12, **EMBEDDED)),
    ("published_scheduler", dict(scheduler={**tiny_flux.DYNAMIC, "base_image_seq_len": 256, "max_image_seq_len": 4096},
                                 vae=dict(block_out_channels=(8, 16, 16)), seed=50),
     dict(size=(64, 32), steps=6, tokens=16, embedded=1.0)),
    ("more_channels", dict(transformer=dict(in_channels=64, guidance_embeds=False), t5=dict(num_layers=3), seed=60),
     dict(size=(32, 32), steps=2, tokens=16, guidance_scale=2.0, negative="")),
    ("one_step", dict(transformer=dict(guidance_embeds=False), scheduler=STATIC, seed=70), dict(size=(16, 32), steps=1, tokens=4)),
]
IDS = [case[0] for case in CASES]


def noise_for(pipe, size, count, seed=5):
    shape = (count, pipe.transformer.config.in_channels // 4, size[0] // pipe.vae_scale_factor, size[1] // pipe.vae_scale_factor)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unpacked(latents, noise):
    b, c, h, w = noise.shape
    return latents.view(b, h // 2, w // 2, c, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c, h, w)


def diffusers_pictures(pipe, noise, call, prompts=PROMPTS):
    b, c, h, w = noise.shape
    packed = noise.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)
    guided = dict(negative_prompt=[call["negative"]] * b, true_cfg_scale=call["guidance_scale"]) if "negative" in call else {}
    arguments = dict(prompt=list(prompts), height=call["size"][0], width=call["size"][1], num_inference_steps=call["steps"],
                     guidance_scale=call.get("embedded", 3.5), max_sequence_length=call["tokens"], **guided)
    latents = pipe(latents=packed.clone(), output_type="latent", **arguments).images
    return unpacked(latents, noise), pipe(latents=packed.clone(), output_type="pt", **arguments).images


def ours_of(folder, noise, call, scratch, model=None, **more):
    told = {"embedded_guidance": call["embedded"]} if "embedded" in call else {}
    return thalweg_pictures(folder, noise, {"guidance_scale": 1.0, **call}, scratch, model={**told, **(model or {})}, **more)


@pytest.mark.parametrize("name,folder_options,call", CASES, ids=IDS)
def test_same_noise_same_pictures(name, folder_options, call, tmp_path):
    pipe = tiny_flux.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call["size"], len(PROMPTS))
    theirs = diffusers_pictures(pipe, noise, call)
    assert 0.3 < theirs[0].std() < 5
    assert ((theirs[1] > 0) & (theirs[1] < 1)).float().mean() > 0.8
    assert_same(ours_of(tmp_path / "model", noise, call, tmp_path), theirs)


def test_what_is_said_counts(tmp_path):
    """Prompt, tokens, steps and both guidances each move the picture: none of them can be ignored above."""
    name, folder_options, call = CASES[2]
    pipe = tiny_flux.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call["size"], len(PROMPTS))
    theirs, _ = diffusers_pictures(pipe, noise, call)
    for change in [dict(negative="the green triangle"), dict(guidance_scale=2.5), dict(embedded=2.5), dict(tokens=6), dict(steps=4)]:
        ours, _ = ours_of(tmp_path / "model", noise, {**call, **change}, tmp_path)
        assert (ours - theirs).abs().max() > 10 * TOLERANCE, change
    # 3.5 where the job says nothing.
    silent = {key: value for key, value in call.items() if key != "embedded"}
    assert_same(ours_of(tmp_path / "model", noise, silent, tmp_path),
                ours_of(tmp_path / "model", noise, {**call, "embedded": 3.5}, tmp_path))


@pytest.fixture(scope="module")
def flux(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("flux")
    tiny_flux.make_folder(scratch / "model", transformer=dict(num_layers=2), seed=80)
    return scratch / "model"


CALL = dict(size=(32, 32), steps=3, tokens=8, **EMBEDDED)


def align_job(folder, scratch, lora=None, **more):
    prompts = scratch / "prompts.txt"
    prompts.write_text("a red circle\na blue square\na green triangle\n")
    model = {"path": str(folder), "max_sequence_length": CALL["tokens"], "embedded_guidance": 3.5, **({"lora": lora} if lora else {})}
    return {"job": "align", "model": model, "prompts": {"train": str(prompts), "select": str(prompts), "eval": str(prompts)},
            "sampler": {"name": "flow_sde", "steps": 3, "height": 32, "width": 32}, "rewards": [{"plugin": "color"}],
            "method": {"name": "flow_grpo", "prompts_per_iteration": 2, "group_size": 4, "updates": 1},
            "optimizer": {"learning_rate": 0.01}, "iterations": 2, "evaluate": {"every": 2, "steps": 3, "pictures": 2},
            "parallel": {"workers": 2, "micro_batch": 4}, **more}


@pytest.mark.parametrize("method", ["flow_grpo", "diffusion_nft"])
def test_lora_that_was_trained_here_draws_the_same_in_diffusers(method, flux, tmp_path):
    job = align_job(flux, tmp_path, {"rank": 4, "alpha": 8})
    job["method"]["name"] = method
    path = run_job(tmp_path / "run", job) / "pytorch_lora_weights.safetensors"
    pipe = tiny_flux.load(flux)
    noise = noise_for(pipe, CALL["size"], len(PROMPTS))
    base = diffusers_pictures(pipe, noise, CALL)
    pipe.load_lora_weights(path.parent)
    theirs = diffusers_pictures(pipe, noise, CALL)
    assert (theirs[0] - base[0]).abs().max() > 0.01
    assert_same(ours_of(flux, noise, CALL, tmp_path, model={"lora": {"path": str(path)}}), theirs)
    with safe_open(path, "pt") as file:
        assert file.metadata()["modelspec.architecture"] == "flux-1/lora"
    names = {name.split(".lora_")[0] for name in load_file(path)}
    assert "transformer.transformer_blocks.1.ff_context.net.2" in names
    assert "transformer.single_transformer_blocks.1.attn.to_q" in names


def test_whole_model_that_was_trained_here_draws_the_same_in_diffusers(flux, tmp_path):
    job = align_job(flux, tmp_path)
    job["method"]["name"], job["optimizer"]["learning_rate"] = "diffusion_nft", 1e-3
    run = run_job(tmp_path / "run", job)
    noise = noise_for(tiny_flux.load(flux), CALL["size"], len(PROMPTS))
    ours = ours_of(run / "model", noise, CALL, tmp_path)
    assert_same(ours, diffusers_pictures(tiny_flux.load(run / "model"), noise, CALL))
    assert (ours[0] - ours_of(flux, noise, CALL, tmp_path)[0]).abs().max() > 0.01


def linear_layers(pipe):
    return {name: layer for name, layer in pipe.transformer.named_modules() if isinstance(layer, torch.nn.Linear)}


def random_pairs(shapes, rank=3, gain=0.3, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return {name: (torch.randn(rank, columns, generator=generator) / columns**0.5,
                   torch.randn(rows, rank, generator=generator) * gain / rank**0.5)
            for name, (rows, columns) in shapes.items()}


def test_layouts_of_others(flux, tmp_path):
    """diffusers', PEFT's, ComfyUI's and kohya's names, each of all layers, give one picture."""
    pipe = tiny_flux.load(flux)
    layers = linear_layers(pipe)
    tensors = {f"transformer.{name}.lora_{half}.weight": tensor
               for name, pair in random_pairs({n: layer.weight.shape for n, layer in layers.items()}).items()
               for half, tensor in zip("AB", pair)}
    noise = noise_for(pipe, CALL["size"], len(PROMPTS))
    path, drawn = tmp_path / "lora.safetensors", {}
    for name, layout in {"diffusers": lambda t: t, "bare": renamed(lambda n: n.removeprefix("transformer.")),
                         "comfyui": renamed(lambda n: n.replace("transformer.", "diffusion_model.", 1)),
                         "kohya": renamed(kohya)}.items():
        save_file(layout(tensors), path)
        assert f"all {len(layers)} modules match" in thalweg("lora", path, "--model", flux).stdout, name
        drawn[name] = ours_of(flux, noise, CALL, tmp_path, model={"lora": {"path": str(path)}})
    save_file(tensors, path)
    pipe.load_lora_weights(path)
    for name, ours in drawn.items():
        assert_same(ours, diffusers_pictures(pipe, noise, CALL))


ORIGINAL = {
    "double_blocks.{}.img_attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
    "double_blocks.{}.txt_attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
    "double_blocks.{}.img_attn.proj": ["attn.to_out.0"], "double_blocks.{}.txt_attn.proj": ["attn.to_add_out"],
    "double_blocks.{}.img_mlp.0": ["ff.net.0.proj"], "double_blocks.{}.img_mlp.2": ["ff.net.2"],
    "double_blocks.{}.txt_mlp.0": ["ff_context.net.0.proj"], "double_blocks.{}.txt_mlp.2": ["ff_context.net.2"],
    "double_blocks.{}.img_mod.lin": ["norm1.linear"], "double_blocks.{}.txt_mod.lin": ["norm1_context.linear"],
    "single_blocks.{}.linear1": ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"], "single_blocks.{}.linear2": ["proj_out"],
    "single_blocks.{}.modulation.lin": ["norm.linear"],
}


def original_file(flux, prefix, rank=4, alpha=2.0):
    """A LoRA in the names of the original code, and what it adds to each layer, as matrices."""
    layers, file, added = linear_layers(tiny_flux.load(flux)), {}, {}
    generator = torch.Generator().manual_seed(3)
    for name, parts in ORIGINAL.items():
        for block in range(2):
            ours = "single_transformer_blocks" if name.startswith("single") else "transformer_blocks"
            names = [f"{ours}.{block}.{part}" for part in parts]
            rows, columns = [layers[n].out_features for n in names], layers[names[0]].in_features
            down = torch.randn(rank, columns, generator=generator) / columns**0.5
            up = torch.randn(sum(rows), rank, generator=generator) * 0.3
            module = name.format(block)
            module = prefix + (module.replace(".", "_") if prefix == "lora_unet_" else module)
            file |= {f"{module}.lora_down.weight": down, f"{module}.lora_up.weight": up, f"{module}.alpha": torch.tensor(alpha)}
            added |= dict(zip(names, ((up @ down) * alpha / rank).split(rows)))
    return file, added


@pytest.mark.parametrize("prefix", ["lora_unet_", "diffusion_model."])
def test_names_of_the_original_code(prefix, flux, tmp_path):
    """Layers that are one there and several here, some of other widths, are divided by rows."""
    file, added = original_file(flux, prefix)
    path = tmp_path / "lora.safetensors"
    save_file(file, path)
    pipe = tiny_flux.load(flux)
    noise = noise_for(pipe, CALL["size"], len(PROMPTS))
    base = diffusers_pictures(pipe, noise, CALL)
    with torch.no_grad():
        for name, layer in linear_layers(pipe).items():
            if name in added:
                layer.weight += added[name]
    theirs = diffusers_pictures(pipe, noise, CALL)
    assert (theirs[0] - base[0]).abs().max() > 0.01
    assert_same(ours_of(flux, noise, CALL, tmp_path, model={"lora": {"path": str(path)}}), theirs)


def refusal(folder, scratch, call=CALL, **model):
    job = {"job": "sample", "model": {"path": str(folder), "max_sequence_length": 8, **model}, "prompts": {"texts": ["a"]},
           "sampler": {"name": "flow_ode", "steps": 2, "height": call["size"][0], "width": call["size"][1]}, "output": str(scratch / "no")}
    (scratch / "no.json").write_text(json.dumps({"version": 1, **job}))
    done = thalweg("run", scratch / "no.json")
    assert done.returncode == 2, done.stdout
    return done.stderr


def test_what_does_not_fit_is_refused(flux, tmp_path):
    assert "multiples of 4" in refusal(flux, tmp_path, dict(size=(34, 32)))
    assert "32 and 32" in refusal(flux, tmp_path, dict(size=(33, 32)))
    schnell = tmp_path / "schnell"
    tiny_flux.make_folder(schnell, transformer=dict(guidance_embeds=False))
    assert "/model/embedded_guidance" in refusal(schnell, tmp_path, embedded_guidance=3.5)
    broken = json.loads((schnell / "text_encoder" / "config.json").read_text())
    (schnell / "text_encoder" / "config.json").write_text(json.dumps({**broken, "hidden_size": 24}))
    assert "pooled_projection_dim" in refusal(schnell, tmp_path)


def test_plan_knows_it(flux, tmp_path):
    job = align_job(flux, tmp_path, {"rank": 4, "alpha": 8}, output=str(tmp_path / "run"))
    (tmp_path / "plan.json").write_text(json.dumps({"version": 1, **job}))
    done = thalweg("plan", tmp_path / "plan.json", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert math.isfinite(plan["memory"]["total_bytes"]) if "memory" in plan else plan


def test_encoded_prompts_are_kept_whatever_the_guidance(flux, tmp_path):
    """The scale is no part of an encoded prompt."""
    noise = noise_for(tiny_flux.load(flux), CALL["size"], len(PROMPTS))
    cache = {"prompt_cache": {"folder": str(tmp_path / "cache")}}
    ours_of(flux, noise, CALL, tmp_path, model=cache)
    files = sorted((tmp_path / "cache").rglob("*"))
    ours_of(flux, noise, {**CALL, "embedded": 1.5}, tmp_path, model=cache)
    assert files and sorted((tmp_path / "cache").rglob("*")) == files
