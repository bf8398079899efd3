"""A negative prompt in an `align` job: what its held-out pictures are guided away from, as in diffusers' pipeline on the
same noise."""

import json

import numpy as np
import parity_tool
import tiny_sd3
import torch
from lora_parity_test import align_job
from PIL import Image
from pipeline_parity_test import diffusers_pictures
from program import run_job

CALL = dict(guidance_scale=4.5, tokens=7, size=(16, 24), steps=4)
NEGATIVE, SEED = "two blue squares", 3


def pictures_of(folder, count):
    files = [np.asarray(Image.open(folder / f"{i:05}.png")) for i in range(count)]
    return torch.from_numpy(np.stack(files)).permute(0, 3, 1, 2) / 255


def test_held_out_pictures_are_those_of_diffusers(tmp_path):
    pipe = tiny_sd3.make_folder(tmp_path / "model", transformer=dict(qk_norm="rms_norm"), seed=70)
    job = align_job(tmp_path / "model", tmp_path, "diffusion_nft", {"rank": 2, "alpha": 2})
    prompts = (tmp_path / "prompts.txt").read_text().split("\n")[:3]
    job |= {"seed": SEED, "iterations": 1, "optimizer": {"learning_rate": 0.0},
            "evaluate": {"steps": CALL["steps"], "guidance_scale": CALL["guidance_scale"], "pictures": 3}}
    height, width = CALL["size"]
    latents = torch.empty(pipe.transformer.config.in_channels, 1, height // pipe.vae_scale_factor,
                          width // pipe.vae_scale_factor)
    noise = parity_tool.run("evaluation-noise", tmp_path, {"numbers": torch.tensor([SEED, 3]), "shape": latents},
                            tmp_path)["noise"].squeeze(2)
    shown = {}
    for name, negative in [("with", NEGATIVE), ("without", "")]:
        run = run_job(tmp_path / name, {**job, "negative_prompt": negative})
        shown[name] = pictures_of(run / "samples" / "before", 3)
        theirs = diffusers_pictures(pipe, noise, {**CALL, "negative": negative}, prompts)[1]
        # PNG files have 8 bits.
        assert (shown[name] - theirs).abs().max() <= 0.5 / 255 + 1e-4, name
    assert (shown["with"] - shown["without"]).abs().max() > 10 / 255
    values = [json.loads((tmp_path / name / "result.json").read_text())["eval"]["reward"]["before"] for name in shown]
    assert values[0] != values[1]
