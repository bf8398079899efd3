"""Heads of `mah_dpo` in diffusers: peft loads each, and its mixture of adapters draws what `loras` draws."""

import pytest
import tiny_sd3
from lora_parity_test import align_job
from pipeline_parity_test import PROMPTS, assert_same, diffusers_pictures, noise_for, thalweg_pictures
from program import run_job

CALL = dict(guidance_scale=2.0, tokens=7, negative="", size=(16, 24), steps=4)
REWARDS = [{"plugin": "color"}, {"plugin": "jpeg"}]
NAMES = ["color_redness", "jpeg_compressibility"]


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """The model's folder, and the file of each head."""
    scratch = tmp_path_factory.mktemp("heads")
    tiny_sd3.make_folder(scratch / "model", transformer=dict(qk_norm="rms_norm", dual_attention_layers=(0,)), seed=60)
    job = align_job(scratch / "model", scratch, "mah_dpo", {"rank": 4, "alpha": 8})
    job["optimizer"] = {"learning_rate": 0.02}
    run = run_job(scratch / "run", {**job, "rewards": REWARDS})
    return scratch / "model", [run / "heads" / name / "pytorch_lora_weights.safetensors" for name in NAMES]


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.3, 0.7)])
def test_mixtures_of_peft(weights, heads, tmp_path):
    folder, files = heads
    pipe = tiny_sd3.load(folder)
    noise = noise_for(pipe, CALL["size"], len(PROMPTS))
    base = diffusers_pictures(pipe, noise, CALL)
    for name, file in zip(NAMES, files):
        pipe.load_lora_weights(file.parent, adapter_name=name)
    pipe.set_adapters(NAMES, list(weights))
    theirs = diffusers_pictures(pipe, noise, CALL)
    assert (theirs[0] - base[0]).abs().max() > 1e-3  # ten times the bound
    loras = [{"path": str(file), "weight": weight} for file, weight in zip(files, weights)]
    assert_same(thalweg_pictures(folder, noise, CALL, tmp_path, model={"loras": loras}), theirs)
