"""The `sample` job against diffusers' StableDiffusion3Pipeline: the same folder, prompts and noise.

The weights keep what passes through them near 1 (random_weights.py), so that the absolute bound means something:
latents have a standard deviation between 0.3 and 5 (the differences seen are below 2e-5), and most pixels lie between
black and white, where nothing is clipped. Both are checked.
"""

import shutil

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

import parity_tool
import tiny_sd3
from program import run_job

TOLERANCE = 1e-4

PROMPTS = ["a red circle", "two small blue squares left of a big green triangle and a yellow circle above the triangle"]
ATTENTION = dict(mid_block_add_attention=True)
NO_ATTENTION = dict(mid_block_add_attention=False)

# Name, make_folder()'s arguments, and the call: guidance, max_sequence_length, negative prompt, height and width, steps.
CASES = [
    ("plain", dict(shift=1.0), dict(guidance_scale=1.0, tokens=1, size=(16, 16), steps=4)),
    ("sd3_like", dict(shift=3.0, vae=ATTENTION, seed=10),
     dict(guidance_scale=4.5, tokens=256, negative="a big circle", size=(16, 24), steps=6)),
    ("sd35_like", dict(shift=3.0, transformer=dict(qk_norm="rms_norm", dual_attention_layers=(0,), num_layers=3),
                       tokenizers=("files", "files"), seed=20),
     dict(guidance_scale=4.5, tokens=7, size=(32, 16), steps=5)),
    ("quant_convs", dict(shift=1.0, vae=dict(use_quant_conv=True, use_post_quant_conv=True, shift_factor=-0.2,
                                             scaling_factor=0.18215, **ATTENTION), tokenizers=("json", "files"), seed=30),
     dict(guidance_scale=4.5, tokens=7, negative="", size=(16, 16), steps=3)),
    ("three_levels", dict(shift=3.0, vae=dict(block_out_channels=(4, 8, 8), latent_channels=16, **NO_ATTENTION),
                          transformer=dict(in_channels=16, out_channels=16, patch_size=1, qk_norm="rms_norm"), seed=40),
     dict(guidance_scale=1.0, tokens=1, size=(16, 32), steps=8)),
    ("wide_pooled", dict(shift=1.5, first=dict(width=8, heads=1, layers=1, projection=32), tokenizers=("files", "json"),
                         second=dict(width=32, heads=4, layers=2, projection=8), seed=50,
                         transformer=dict(patch_size=4, pos_embed_max_size=5, heads=3, dual_attention_layers=(0, 1))),
     dict(guidance_scale=2.0, tokens=0, negative="two red squares", size=(24, 40), steps=4)),
    ("t5", dict(shift=3.0, t5={}, seed=70),
     dict(guidance_scale=4.5, tokens=256, negative="a small <extra_id_1> circle", size=(16, 16), steps=5)),
    ("t5_short_relu", dict(shift=3.0, t5=dict(feed_forward_proj="relu", num_layers=3), seed=80,
                           transformer=dict(qk_norm="rms_norm", dual_attention_layers=(0,))),
     dict(guidance_scale=2.0, tokens=9, size=(16, 16), steps=4)),
    ("one_step", dict(shift=3.0, seed=60), dict(guidance_scale=4.5, tokens=1, size=(16, 16), steps=1)),
]
IDS = [case[0] for case in CASES]


def noise_for(pipe, size, count, seed=5):
    factor = pipe.vae_scale_factor
    shape = (count, pipe.transformer.config.in_channels, size[0] // factor, size[1] // factor)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def diffusers_pictures(pipe, noise, call, prompts=PROMPTS):
    """Latents, and frames [N,3,H,W] in [0,1]."""
    height, width = call["size"]
    arguments = dict(prompt=list(prompts), negative_prompt=[call.get("negative", "")] * len(prompts), height=height,
                     width=width, num_inference_steps=call["steps"], guidance_scale=call["guidance_scale"],
                     max_sequence_length=call["tokens"])
    latents = pipe(latents=noise.clone(), output_type="latent", **arguments).images
    return latents, pipe(latents=noise.clone(), output_type="pt", **arguments).images


def thalweg_pictures(folder, noise, call, scratch, prompts=PROMPTS, model=None, **job):
    save_file({"latents": noise}, scratch / "noise.safetensors")
    height, width = call["size"]
    job = {"job": "sample",
           "model": {"path": str(folder), "max_sequence_length": call["tokens"], **(model or {})},
           "prompts": {"texts": list(prompts)},
           "negative_prompt": call.get("negative", ""),
           "sampler": {"name": "flow_ode", "steps": call["steps"], "guidance_scale": call["guidance_scale"],
                       "height": height, "width": width},
           "latents": str(scratch / "noise.safetensors"),
           "save_latents": True, "save_frames": True, "save_images": False,
           "parallel": {"workers": 1}, **job}
    shutil.rmtree(scratch / "out", ignore_errors=True)  # a job is refused where another one has its results
    out = run_job(scratch / "out", job)
    return (load_file(out / "latents.safetensors")["latents"],
            load_file(out / "frames.safetensors")["frames"][:, 0])


def assert_same(ours, theirs):
    for name, mine, other in zip(["latents", "frames"], ours, theirs):
        assert parity_tool.max_error(mine, other) <= TOLERANCE, name


@pytest.mark.parametrize("name,folder_options,call", CASES, ids=IDS)
def test_same_noise_same_pictures(name, folder_options, call, tmp_path):
    pipe = tiny_sd3.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call["size"], len(PROMPTS))
    theirs = diffusers_pictures(pipe, noise, call)
    assert 0.3 < theirs[0].std() < 5
    assert ((theirs[1] > 0) & (theirs[1] < 1)).float().mean() > 0.8
    ours = thalweg_pictures(tmp_path / "model", noise, call, tmp_path)
    assert_same(ours, theirs)


def test_what_is_said_counts(tmp_path):
    """Prompt, negative prompt, guidance and tokens each move the picture: none of them can be ignored above."""
    name, folder_options, call = CASES[1]
    pipe = tiny_sd3.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call["size"], len(PROMPTS))
    theirs, _ = diffusers_pictures(pipe, noise, call)
    for change in [dict(negative="the green triangle"), dict(guidance_scale=4.0), dict(tokens=255), dict(steps=7)]:
        ours, _ = thalweg_pictures(tmp_path / "model", noise, {**call, **change}, tmp_path)
        assert (ours - theirs).abs().max() > 10 * TOLERANCE, change
    ours, _ = thalweg_pictures(tmp_path / "model", noise, call, tmp_path, prompts=["a blue circle", PROMPTS[1]])
    assert (ours[0] - theirs[0]).abs().max() > 10 * TOLERANCE
    assert (ours[1] - theirs[1]).abs().max() <= TOLERANCE


def test_t5_reads_the_prompt(tmp_path):
    """T5's tokens alone move the picture: the whole prompt, its end beyond CLIP's tokens too."""
    name, folder_options, call = next(case for case in CASES if case[0] == "t5")
    pipe = tiny_sd3.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call["size"], 2)
    same_start = ["a red circle " * 6 + "left", "a red circle " * 6 + "right"]
    theirs = diffusers_pictures(pipe, noise[:1].repeat(2, 1, 1, 1), call, prompts=same_start)
    ours = thalweg_pictures(tmp_path / "model", noise[:1].repeat(2, 1, 1, 1), call, tmp_path, prompts=same_start)
    assert_same(ours, theirs)
    assert (ours[0][0] - ours[0][1]).abs().max() > 10 * TOLERANCE
    # Saved in float16 and in shards, as the published model is.
    pipe.text_encoder_3.half().save_pretrained(tmp_path / "model" / "text_encoder_3", max_shard_size="20KB")
    (tmp_path / "model" / "text_encoder_3" / "model.safetensors").unlink(missing_ok=True)
    pipe = tiny_sd3.load(tmp_path / "model").to(torch.float32)
    assert_same(thalweg_pictures(tmp_path / "model", noise, call, tmp_path), diffusers_pictures(pipe, noise, call))


def test_pictures_a_prompt_and_micro_batches(tmp_path):
    """Noise comes in the order of the prompts, and how the work is cut does not show."""
    name, folder_options, call = CASES[0]
    pipe = tiny_sd3.make_folder(tmp_path / "model", **folder_options)
    noise = noise_for(pipe, call["size"], 6)
    theirs = diffusers_pictures(pipe, noise, call, prompts=[p for p in PROMPTS for _ in range(3)])
    ours = thalweg_pictures(tmp_path / "model", noise, call, tmp_path, images_per_prompt=3,
                            parallel={"workers": 2, "micro_batch": 4})
    assert_same(ours, theirs)


def test_other_dtypes_on_disk(tmp_path):
    """Weights saved in bfloat16 and float16 are computed in float32, as diffusers does with torch_dtype=float32."""
    name, folder_options, call = CASES[2]
    pipe = tiny_sd3.make_folder(tmp_path / "model", **folder_options)
    pipe.transformer.bfloat16().save_pretrained(tmp_path / "model" / "transformer")
    pipe.text_encoder.half().save_pretrained(tmp_path / "model" / "text_encoder")
    pipe = tiny_sd3.load(tmp_path / "model").to(torch.float32)
    noise = noise_for(pipe, call["size"], len(PROMPTS))
    assert_same(thalweg_pictures(tmp_path / "model", noise, call, tmp_path), diffusers_pictures(pipe, noise, call))


@pytest.mark.parametrize("config", [dict(use_dynamic_shifting=True, max_shift=3.0, max_image_seq_len=300),
                                    dict(shift=3.0, use_beta_sigmas=True, shift_terminal=0.1)], ids=["dynamic", "beta"])
def test_other_noise_levels_of_the_scheduler(config, tmp_path):
    name, folder_options, call = CASES[0]
    pipe = tiny_sd3.make_folder(tmp_path / "model", **folder_options)
    pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**config)
    pipe.scheduler.save_pretrained(tmp_path / "model" / "scheduler")
    call = {**call, "size": (16, 24)}
    noise = noise_for(pipe, call["size"], len(PROMPTS))
    assert_same(thalweg_pictures(tmp_path / "model", noise, call, tmp_path), diffusers_pictures(pipe, noise, call))


@pytest.mark.parametrize("shards", ["10GB", "20KB"])
def test_weights_of_a_variant(shards, tmp_path):
    """A component without files of the variant gives its plain ones, here as in diffusers."""
    name, folder_options, call = next(case for case in CASES if case[0] == "t5")
    pipe = tiny_sd3.make_folder(tmp_path / "model", **folder_options)
    plain = ["vae", "text_encoder_2"]
    for component in ["transformer", "text_encoder", "text_encoder_3"]:
        shutil.rmtree(tmp_path / "model" / component)
        getattr(pipe, component).half().save_pretrained(tmp_path / "model" / component, variant="fp16",
                                                        max_shard_size=shards)
    assert all(not list((tmp_path / "model" / component).glob("*fp16*")) for component in plain)
    pipe = diffusers.StableDiffusion3Pipeline.from_pretrained(tmp_path / "model", variant="fp16").to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    noise = noise_for(pipe, call["size"], len(PROMPTS))
    ours = thalweg_pictures(tmp_path / "model", noise, call, tmp_path, model={"variant": "fp16"})
    assert_same(ours, diffusers_pictures(pipe, noise, call))


def test_other_number_of_training_steps(tmp_path):
    name, folder_options, call = CASES[0]
    pipe = tiny_sd3.make_folder(tmp_path / "model", **folder_options)
    path = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace('"num_train_timesteps": 1000', '"num_train_timesteps": 400'))
    pipe = tiny_sd3.load(tmp_path / "model")
    assert pipe.scheduler.config.num_train_timesteps == 400
    noise = noise_for(pipe, call["size"], len(PROMPTS))
    assert_same(thalweg_pictures(tmp_path / "model", noise, call, tmp_path), diffusers_pictures(pipe, noise, call))
