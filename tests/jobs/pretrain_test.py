"""The `pretrain` job at toy size: it makes a folder that diffusers opens, and a stopped run goes on bit for bit."""

import json
import shutil
import signal
import subprocess
import time

import pytest
import torch
from diffusers import StableDiffusion3Pipeline, WanPipeline

from parity_tool import ROOT
from program import ENVIRONMENT, PROGRAM, thalweg, write_job

@pytest.fixture(scope="module", params=["sd3", "wan"])
def family(request):
    return request.param


def small_job(family, folder, output):
    job = json.loads((ROOT / f"assets/jobs/pretrain_tiny_{family}.json").read_text())
    job["architecture"]["transformer"].update(num_layers=2)
    job["data"]["images"] = 96
    job["vae"].update(steps=4, batch_size=4)
    job["flow"].update(steps=30, batch_size=4, warmup_steps=5)
    job["checkpoint"] = {"every": 5, "keep": 2}
    job["output"] = str(output)
    return write_job(folder / f"{output.name}.json", job)


def weights(output):
    return {path.relative_to(output): path.read_bytes() for path in output.glob("model/**/*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(family, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    run = thalweg("run", small_job(family, folder, folder / "whole"))
    assert run.returncode == 0, run.stderr
    return folder / "whole"


def test_diffusers_opens_it(family, whole):
    if family == "sd3":
        pipe = StableDiffusion3Pipeline.from_pretrained(whole / "model", text_encoder_3=None, tokenizer_3=None)
        words = pipe.tokenizer("two red circles left of a blue square").input_ids
        assert len(words) == 2 + 8, "every word of the world is one token"
        return
    pipe = WanPipeline.from_pretrained(whole / "model")
    caption = "a red circle moves left and a blue square grows"
    assert len(pipe.tokenizer(caption).input_ids) == 10 + 1, "every word of the world is one token"
    drawn = pipe(caption, height=32, width=32, num_frames=9, num_inference_steps=2, guidance_scale=1.0, max_sequence_length=12,
                 output_type="np", generator=torch.Generator().manual_seed(0)).frames
    assert drawn.shape == (1, 9, 32, 32, 3)


def test_stopped_run_goes_on(family, whole, tmp_path):
    job = small_job(family, tmp_path, tmp_path / "stopped")
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


def without_flow(whole, tmp_path):
    """The run as it was before the first checkpoint of the flow."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return folder


def test_an_autoencoder_of_other_settings_is_not_taken(whole, tmp_path):
    """Killed before the first checkpoint of the flow: the autoencoder's own run says what it was trained with."""
    folder = without_flow(whole, tmp_path)
    job = json.loads((whole.parent / "whole.json").read_text())
    job["vae"]["learning_rate"] *= 2
    run = thalweg("run", write_job(tmp_path / "other.json", {**job, "output": str(folder)}))
    assert run.returncode == 2
    assert "vae/checkpoint-" in run.stderr and "/vae/learning_rate is" in run.stderr


def test_a_flow_of_other_settings_takes_the_same_autoencoder(whole, tmp_path):
    folder = without_flow(whole, tmp_path)
    job = json.loads((whole.parent / "whole.json").read_text())
    job["flow"]["steps"] = 3
    job["architecture"]["transformer"]["num_layers"] = 1
    run = thalweg("run", write_job(tmp_path / "other.json", {**job, "output": str(folder)}))
    assert run.returncode == 0, run.stderr
    vae = "model/vae/diffusion_pytorch_model.safetensors"
    assert (folder / vae).read_bytes() == (whole / vae).read_bytes()
    assert json.loads((folder / "model/transformer/config.json").read_text())["num_layers"] == 1


def test_no_update_was_skipped(whole):
    assert json.loads((whole / "result.json").read_text())["skipped_updates"] == {"vae": 0, "flow": 0}


@pytest.mark.parametrize("pointer, value, message", [
    ("/data/frames", 8, "4 k + 1"), ("/data/world", "scenes", "/data/frames"), ("/max_sequence_length", 11, "longest caption"),
    ("/family", "sd3", "/data/frames"), ("/data/size", 20, "32"), ("/data/size", 40, "multiple of 16"),
    ("/flow/kinds", '{"move": 50, "two": 40}', "must be 100 together, not 90"), ("/flow/kinds", '{"twoo": 100}', 'did you mean "two"'),
    ("/flow/kinds", '{"move": 99.5, "two": 0.5}', "whole percentages"),
    ("/architecture/vae/z_dim", 8, "in_channels"), ("/architecture/text_encoder/d_model", 64, "text_dim")])
def test_what_does_not_fit_together_is_refused(pointer, value, message):
    run = thalweg("validate", "assets/jobs/pretrain_tiny_wan.json", "--set", f"{pointer}={value}")
    assert run.returncode == 2 and message in run.stderr, run.stderr
