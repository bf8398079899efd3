"""The `pretrain` job at toy size: it makes a folder that diffusers opens, and a stopped run goes on bit for bit."""

import json
import shutil
import signal
import subprocess
import time

import pytest
from diffusers import StableDiffusion3Pipeline

from parity_tool import ROOT
from program import ENVIRONMENT, PROGRAM, thalweg, write_job

PARTS = ["transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model", "text_encoder_2/model"]


def small_job(folder, output):
    job = json.loads((ROOT / "assets/jobs/pretrain_tiny_sd3.json").read_text())
    job["architecture"]["transformer"].update(num_layers=2)
    job["data"]["images"] = 96
    job["vae"].update(steps=4, batch_size=4)
    job["flow"].update(steps=60, batch_size=8, warmup_steps=5)
    job["checkpoint"] = {"every": 10, "keep": 2}
    job["output"] = str(output)
    return write_job(folder / f"{output.name}.json", job)


def weights(output):
    return [(output / "model" / f"{part}.safetensors").read_bytes() for part in PARTS]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    run = thalweg("run", small_job(folder, folder / "whole"))
    assert run.returncode == 0, run.stderr
    return folder / "whole"


def test_diffusers_opens_it(whole):
    pipe = StableDiffusion3Pipeline.from_pretrained(whole / "model", text_encoder_3=None, tokenizer_3=None)
    words = pipe.tokenizer("two red circles left of a blue square").input_ids
    assert len(words) == 2 + 8, "every word of the world is one token"


def test_stopped_run_goes_on(whole, tmp_path):
    job = small_job(tmp_path, tmp_path / "stopped")
    process = subprocess.Popen([PROGRAM, "run", str(job)], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list((tmp_path / "stopped").glob("checkpoint-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) in (0, 3)  # 0: it was done before the signal came
    # The newest checkpoint is damaged besides: the one before it is taken, if there is one.
    newest = max((tmp_path / "stopped").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    (newest / "manifest.json").write_text("{")
    run = thalweg("run", job)
    assert run.returncode == 0, run.stderr
    assert f"is damaged and passed over: {newest}/manifest.json" in run.stdout + run.stderr
    first = json.loads((tmp_path / "stopped" / "events.jsonl").read_text().splitlines()[0])
    assert (first["type"], first["data"]["checkpoint"]) == ("checkpoint_damaged", newest.name)
    assert weights(tmp_path / "stopped") == weights(whole)


def test_refuses_another_jobs_folder(whole, tmp_path):
    job = json.loads((whole.parent / "whole.json").read_text())
    job["seed"] = 1
    run = thalweg("run", write_job(tmp_path / "other.json", job))
    assert run.returncode == 2
    assert "/output" in run.stderr


def test_an_autoencoder_of_other_settings_is_not_taken(whole, tmp_path):
    """Killed before the first checkpoint of the flow: the autoencoder's own run says what it was trained with."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    job = json.loads((whole.parent / "whole.json").read_text())
    job["vae"]["learning_rate"] *= 2
    run = thalweg("run", write_job(tmp_path / "other.json", {**job, "output": str(folder)}))
    assert run.returncode == 2
    assert "vae/checkpoint-" in run.stderr and "/vae/learning_rate is" in run.stderr


def test_no_update_was_skipped(whole):
    assert json.loads((whole / "result.json").read_text())["skipped_updates"] == {"vae": 0, "flow": 0}
