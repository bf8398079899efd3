"""The shipped assets/models/tiny-wan: diffusers loads the folder and draws the clips that Thalweg draws."""

import torch
from diffusers import WanPipeline
from safetensors.torch import load_file, save_file

from parity_tool import ROOT
from program import run_job

FOLDER = ROOT / "assets/models/tiny-wan"
PROMPTS = ["a red circle moves left", "a blue square grows", "a green triangle vanishes"]
TOKENS = 12


def test_same_clips_in_diffusers(tmp_path):
    pipe = WanPipeline.from_pretrained(FOLDER)
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(len(PROMPTS), 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    save_file({"latents": noise}, tmp_path / "noise.safetensors")
    run = run_job(tmp_path / "run", {
        "job": "sample", "model": {"path": str(FOLDER), "max_sequence_length": TOKENS}, "prompts": {"texts": PROMPTS},
        "sampler": {"steps": 10, "guidance_scale": 2.0, "height": 32, "width": 32, "frames": 9},
        "latents": str(tmp_path / "noise.safetensors"), "save_latents": True, "save_frames": True})
    call = dict(prompt=PROMPTS, negative_prompt=[""] * len(PROMPTS), num_inference_steps=10, guidance_scale=2.0,
                height=32, width=32, num_frames=9, max_sequence_length=TOKENS)
    latents = pipe(latents=noise.clone(), output_type="latent", **call).frames
    frames = pipe(latents=noise.clone(), output_type="pt", **call).frames
    ours = load_file(run / "latents.safetensors")["latents"]
    assert (ours - latents).abs().max() <= 3e-4
    assert (load_file(run / "frames.safetensors")["frames"] - frames).abs().max() <= 3e-4


def test_folder_is_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 12e6
