"""The `sample` job against diffusers' WanPipeline: the same folder, prompts and noise (see pipeline_parity_test.py)."""

import json
import re
import shutil

import diffusers
import pytest
import torch
from diffusers import WanPipeline
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

import parity_tool
import tiny_wan
from program import run_job, thalweg, write_job

TOLERANCE = 1e-4

PROMPTS = ["a red circle", "two small blue squares &amp;amp; a  big\ngreen triangle above the circle"]

# Name, make_folder()'s arguments, and the call: guidance, max_sequence_length, negative prompt, height and width, frames.
CASES = [
    ("plain", dict(), dict(guidance_scale=1.0, tokens=24, size=(16, 32), frames=9, steps=4)),
    ("guided", dict(scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0), seed=10,
                    transformer=dict(num_layers=3, cross_attn_norm=False), vae=dict(base_dim=6, dim_mult=[1, 2, 4])),
     dict(guidance_scale=5.0, tokens=6, negative="a big circle", size=(16, 16), frames=5, steps=3)),
    ("like_wan", dict(seed=20, vae=dict(dim_mult=[1, 2, 4, 4], temperal_downsample=[False, True, True], z_dim=16,
                                        scale_factor_spatial=8),
                      transformer=dict(in_channels=16, out_channels=16, attention_head_dim=16)),
     dict(guidance_scale=3.0, tokens=32, size=(32, 48), frames=13, steps=2)),
    ("one_frame", dict(seed=30), dict(guidance_scale=1.0, tokens=9, size=(32, 16), frames=1, steps=2)),
]
IDS = [case[0] for case in CASES]


def noise_for(pipe, call, count, seed=5):
    factor = pipe.vae_scale_factor_spatial
    shape = (count, pipe.transformer.config.in_channels, (call["frames"] - 1) // 4 + 1, call["size"][0] // factor,
             call["size"][1] // factor)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def diffusers_videos(pipe, noise, call, prompts=PROMPTS):
    """Latents [N,C,f,h,w], and frames [N,F,3,H,W] in [0,1]."""
    height, width = call["size"]
    arguments = dict(prompt=list(prompts), negative_prompt=[call.get("negative", "")] * len(prompts), height=height,
                     width=width, num_frames=call["frames"], num_inference_steps=call["steps"],
                     guidance_scale=call["guidance_scale"], max_sequence_length=call["tokens"])
    latents = pipe(latents=noise.clone(), output_type="latent", **arguments).frames
    return latents, pipe(latents=noise.clone(), output_type="pt", **arguments).frames


def job_of(folder, call, prompts=PROMPTS, **job):
    height, width = call["size"]
    job = {"job": "sample", "model": {"path": str(folder), "max_sequence_length": call["tokens"]},
           "prompts": {"texts": list(prompts)}, "negative_prompt": call.get("negative", ""),
           "sampler": {"name": "flow_ode", "steps": call["steps"], "guidance_scale": call["guidance_scale"],
                       "height": height, "width": width, "frames": call["frames"]},
           "save_latents": True, "save_frames": True, "save_images": False, "parallel": {"workers": 1}, **job}
    return job


def thalweg_videos(folder, noise, call, scratch, prompts=PROMPTS, lora=None, **job):
    save_file({"latents": noise}, scratch / "noise.safetensors")
    job = job_of(folder, call, prompts, latents=str(scratch / "noise.safetensors"), **job)
    if lora:
        job["model"]["lora"] = {"path": str(lora)}
    shutil.rmtree(scratch / "out", ignore_errors=True)  # a job is refused where another one has its results
    out = run_job(scratch / "out", job)
    latents = load_file(out / "latents.safetensors")["latents"]
    return latents.view(noise.shape), load_file(out / "frames.safetensors")["frames"]


def assert_same(ours, theirs):
    errors = {name: parity_tool.max_error(mine, other) for name, mine, other in zip(["latents", "frames"], ours, theirs)}
    print(errors)
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("name,folder_options,call", CASES, ids=IDS)
def test_same_noise_same_videos(name, folder_options, call, tmp_path):
    pipe = tiny_wan.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call, len(PROMPTS))
    theirs = diffusers_videos(pipe, noise, call)
    assert 0.3 < theirs[0].std() < 5
    assert ((theirs[1] > 0) & (theirs[1] < 1)).float().mean() > 0.7
    ours = thalweg_videos(tmp_path / "model", noise, call, tmp_path)
    assert_same(ours, theirs)
    if name == "plain":  # the text moves the video, and how the work is cut does not
        other, _ = thalweg_videos(tmp_path / "model", noise, call, tmp_path, prompts=["a blue circle", PROMPTS[1]],
                                  parallel={"workers": 2, "micro_batch": 1})
        assert (other[0] - theirs[0][0]).abs().max() > 10 * TOLERANCE
        assert (other[1] - theirs[0][1]).abs().max() <= TOLERANCE


def add_lora(pipe, folder):
    torch.manual_seed(3)
    pipe.transformer.add_adapter(LoraConfig(r=3, lora_alpha=6, init_lora_weights=False, target_modules=[
        "attn1.to_q", "attn2.to_k", "attn1.to_out.0", "ffn.net.0.proj", "ffn.net.2", "proj_out"]))
    with torch.no_grad():
        for name, parameter in pipe.transformer.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.3 / parameter.shape[1] ** 0.5)
    WanPipeline.save_lora_weights(folder, transformer_lora_layers=get_peft_model_state_dict(pipe.transformer),
                                  **_collate_lora_metadata({"transformer": pipe.transformer}))
    return folder / "pytorch_lora_weights.safetensors"


ORIGINAL = {"attn1.to_q": "self_attn.q", "attn2.to_k": "cross_attn.k", "attn1.to_out.0": "self_attn.o",
            "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2", "proj_out": "head.head"}


def renamed(path, target, kohya):
    """As Wan's original code names the layers: with dots, or flattened as kohya's musubi-tuner writes them."""
    tensors = {}
    for key, tensor in load_file(path).items():
        module, half = key.removeprefix("transformer.").split(".lora_")
        for name, original in ORIGINAL.items():
            if module == name or module.endswith("." + name):
                module = module[:len(module) - len(name)] + original
                break
        if kohya:
            module = "lora_unet_" + module.replace(".", "_")
            tensors[module + (".lora_down.weight" if half.startswith("A") else ".lora_up.weight")] = tensor
            tensors[module + ".alpha"] = torch.tensor(6.0)
        else:
            tensors[f"diffusion_model.{module}.lora_{half}"] = tensor
            tensors[f"diffusion_model.{module}.alpha"] = torch.tensor(6.0)
    save_file(tensors, target)
    return target


def test_lora_of_diffusers_and_by_original_names(tmp_path):
    name, folder_options, call = CASES[0]
    pipe = tiny_wan.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call, len(PROMPTS))
    base = diffusers_videos(pipe, noise, call)
    path = add_lora(pipe, tmp_path / "lora")
    theirs = diffusers_videos(pipe, noise, call)
    assert (theirs[0] - base[0]).abs().max() > 0.05
    for file in [path, renamed(path, tmp_path / "kohya.safetensors", True),
                 renamed(path, tmp_path / "original.safetensors", False)]:
        assert_same(thalweg_videos(tmp_path / "model", noise, call, tmp_path, lora=file), theirs)


@pytest.mark.parametrize("config", [dict(flow_shift=3.0), dict(flow_shift=5.0, shift_terminal=0.05),
                                    dict(flow_shift=1.0, num_train_timesteps=400)])
def test_noise_levels_of_unipc(config, tmp_path):
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, **config)
    scheduler.save_pretrained(tmp_path / "scheduler")
    steps = [1, 2, 5, 10, 50]
    ours = parity_tool.run("unipc", tmp_path / "scheduler", {"numbers": torch.tensor(steps)}, tmp_path)
    for count in steps:
        if count == 1 and "shift_terminal" in config:
            continue  # diffusers stretches the one level, 1, by a division of 0 by 0
        scheduler.set_timesteps(count)
        assert (ours[str(count)] - scheduler.sigmas.double()).abs().max() <= 2e-6


def test_folder_that_names_unipc(tmp_path):
    """Euler's method on UniPC's levels: diffusers' Euler scheduler, told these levels."""
    name, folder_options, call = CASES[0]
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipe = tiny_wan.make_folder(tmp_path / "model", **{**folder_options, "scheduler": scheduler})
    noise = noise_for(pipe, call, len(PROMPTS))
    shift = lambda s: 3 * s / (1 + 2 * s)  # noqa: E731
    levels = [shift(1 + (0.001 - 1) * i / call["steps"]) for i in range(call["steps"])]
    euler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
    plain = euler.set_timesteps
    euler.set_timesteps = lambda steps, device: plain(sigmas=levels, device=device)
    pipe.scheduler = euler
    assert_same(thalweg_videos(tmp_path / "model", noise, call, tmp_path), diffusers_videos(pipe, noise, call))


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("change,words", [
    (("sampler", dict(height=20)), "height must be a multiple of 8 up to 256 for this model, unlike 20: the nearest are 16 and 24"),
    (("sampler", dict(width=4)), "width must be .* the nearest is 8"),
    (("sampler", dict(width=1000)), "width must be .* the nearest is 256"),
    (("sampler", dict(frames=8)), "frames must be 4 k . 1 up to 125 for this model, unlike 8: the nearest are 5 and 9"),
    (("model_index.json", dict(transformer_2=["diffusers", "WanTransformer3DModel"])), "two experts"),
    (("model_index.json", dict(expand_timesteps=True)), "expand_timesteps"),
    (("text_encoder/config.json", dict(model_type="t5")), "not of this model|must be umt5"),
    (("transformer/config.json", dict(image_dim=8)), "image_dim"),
    (("vae/config.json", dict(is_residual=True)), "is_residual"),
    (("scheduler/scheduler_config.json", dict(shift="three")), "shift"),
])
def test_refused(change, words, tmp_path):
    name, folder_options, call = CASES[0]
    tiny_wan.make_folder(tmp_path / "model", **folder_options)
    job = job_of(tmp_path / "model", call)
    place, values = change
    if place == "sampler":
        job["sampler"].update(values)
    else:
        edit(tmp_path / "model" / place, **values)
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "out")}))
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(words, done.stderr), done.stderr


def test_boundary_ratio_alone_means_nothing(tmp_path):
    """Folders of Wan 2.1 carry it, made by a converter that writes it for every text-to-video model."""
    name, folder_options, call = CASES[3]
    pipe = tiny_wan.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call, len(PROMPTS))
    edit(tmp_path / "model" / "model_index.json", boundary_ratio=0.875)
    assert_same(thalweg_videos(tmp_path / "model", noise, call, tmp_path), diffusers_videos(pipe, noise, call))


def test_plan(tmp_path):
    """Latents and frames grow with the video; its decoding, in chunks, hardly beyond them."""
    name, folder_options, call = CASES[0]
    tiny_wan.make_folder(tmp_path / "model", **folder_options)
    said = []
    for frames in [1, 17]:
        job = job_of(tmp_path / "model", {**call, "frames": frames}, output=str(tmp_path / "out"))
        done = thalweg("plan", write_job(tmp_path / "job.json", job), "--json")
        assert done.returncode == 0, done.stderr
        memory = json.loads(done.stdout)["memory"]
        said.append({row["name"]: row["bytes"] for row in memory["held"] + memory["transient"]})
    one, many = said
    assert one["latents kept"] > 0 and many["latents kept"] == 5 * one["latents kept"]
    assert many["pictures kept"] == 17 * one["pictures kept"]
    assert 0 < many["decode"] < 3 * one["decode"]


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 25])
def test_unipc_steps_as_diffusers(steps, tmp_path):
    """On a field that is no straight line, in the order that Wan's folders ask for."""
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    scheduler.set_timesteps(steps)
    start = torch.randn(2, 3, 2, 4, 5, generator=torch.Generator().manual_seed(steps))
    x = start
    for sigma, time in zip(scheduler.sigmas[:-1], scheduler.timesteps):
        x = scheduler.step(0.7 * x - torch.cos(2 * x) * (sigma + 0.3), time, x).prev_sample
    sigmas = scheduler.sigmas.double()
    sigmas[0] = 1.0
    ours = parity_tool.run("unipc-sampler", tmp_path, {"x": start, "sigmas": sigmas}, tmp_path)["x0"]
    print(steps, parity_tool.max_error(ours, x))
    assert parity_tool.max_error(ours, x) <= 1e-5


@pytest.mark.parametrize("lora", [{"rank": 2, "alpha": 3.5}, None], ids=["lora", "folder"])
def test_what_training_writes_is_read_by_diffusers(lora, tmp_path):
    name, folder_options, call = CASES[0]
    pipe = tiny_wan.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call, len(PROMPTS))
    base = diffusers_videos(pipe, noise, call)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\ntwo blue squares\na big green triangle\n")
    model = {"path": str(tmp_path / "model"), "max_sequence_length": 24, **({"lora": lora} if lora else {})}
    job = {"job": "align", "model": model, "prompts": {key: str(prompts) for key in ["train", "select", "eval"]},
           "sampler": {"name": "flow_ode", "steps": 2, "height": 16, "width": 16, "frames": 5}, "rewards": [{"plugin": "color"}],
           "method": {"name": "diffusion_nft", "prompts_per_iteration": 2, "group_size": 4, "times_per_sample": 2},
           "optimizer": {"learning_rate": 0.02 if lora else 0.002}, "iterations": 2, "evaluate": {"steps": 2, "pictures": 2},
           "parallel": {"workers": 1, "micro_batch": 4}}
    run = run_job(tmp_path / "run", job)
    if lora:
        pipe.load_lora_weights(run)
        ours = thalweg_videos(tmp_path / "model", noise, call, tmp_path, lora=run / "pytorch_lora_weights.safetensors")
    else:
        pipe = tiny_wan.load(run / "model")
        ours = thalweg_videos(run / "model", noise, call, tmp_path)
    theirs = diffusers_videos(pipe, noise, call)
    assert (theirs[0] - base[0]).abs().max() > 20 * TOLERANCE
    assert_same(ours, theirs)
