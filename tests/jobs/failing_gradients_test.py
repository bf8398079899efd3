"""A reward's gradient in every method that follows one: of frames and latents both halves count, what fails is counted
and masked, and ends the run where nothing is left."""

import json

import numpy as np
import pytest
from guidance_test import FRAMES, SDE
from mixtures import LABORATORY, saved_latents
from parity_tool import BUILD
from program import thalweg, write_job


def zoo(name, **config):
    return {"plugin": str(BUILD / f"tests/plugins/{name}.so"), "isolation": "inproc", "config": config}


LATENTS = {**FRAMES, "id": "org.thalweg.analytic.latents"}
PARTICLES = {"particles": 4, "lambda": 1.0}
# Each with a reward of one input that is the same function as the plugin's of two.
METHODS = {"dps": ({}, FRAMES), "mpgd": ({}, FRAMES), "das": (PARTICLES, FRAMES), "guided_smc": (PARTICLES, FRAMES),
           "flow_nrg": ({}, LATENTS), "euphonium": ({"guidance_scale": 0.5}, LATENTS),
           "reno": ({"iterations": 4, "learning_rate": 0.5, "clip": 0}, FRAMES)}


def run(folder, steering, reward, micro_batch=64, samples=64):
    name = "flow_ode" if steering and steering[0]["name"] == "reno" else "flow_sde"
    job = {"job": "sample", "model": {"path": str(LABORATORY / "line")}, "prompts": {"texts": [""]},
           "images_per_prompt": samples, "sampler": {**SDE, "name": name, "steps": 8}, "steering": steering, "rewards": [reward],
           "save_images": False, "save_latents": True, "parallel": {"micro_batch": micro_batch, "workers": 1},
           "output": str(folder)}
    return thalweg("run", write_job(folder.with_suffix(".json"), job))


def latents(*arguments, **named):
    done = run(*arguments, **named)
    assert done.returncode == 0, done.stdout + done.stderr
    return saved_latents(arguments[0])["latents"]


def result(folder):
    return json.loads((folder / "result.json").read_text())


def steering_event(folder):
    rows = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    (event,) = [row for row in rows if row["type"] == "reward_failed" and row["data"]["phase"] == "steering"]
    return event


@pytest.mark.parametrize("name", METHODS)
def test_a_gradient_of_frames_and_latents_counts_both(tmp_path, name):
    options, alone = METHODS[name]
    method = {"name": name, **options}
    x = latents(tmp_path / "two", [method], zoo("two_inputs"))
    assert np.abs(x - latents(tmp_path / "one", [method], alone)).max() < 1e-5
    half = {**alone, "config": {"kind": "linear", "scale": 0.7}}
    assert np.abs(x - latents(tmp_path / "half", [method], half)).max() > 0.01


@pytest.mark.parametrize("name, mute", [*((name, "latents") for name in METHODS), ("dps", "frames")])
def test_where_no_gradient_can_be_used_the_run_fails(tmp_path, name, mute):
    done = run(tmp_path / "run", [{"name": name, **METHODS[name][0]}], zoo("two_inputs", mute=mute))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("thalweg: /steering: not one of the "), done.stderr
    ended = result(tmp_path / "run")
    assert ended["status"] == "failed" and ended["error"]["param"] == "/steering"
    assert "two_inputs: its gradient failed: unavailable: this half is muted" in ended["error"]["message"]
    event = steering_event(tmp_path / "run")
    assert event["level"] == "error" and event["data"]["failed_gradients"] == event["data"]["gradients"] > 0
    (failure,) = event["data"]["failures"]
    assert failure["samples"] == event["data"]["gradients"]  # a sample counts once, whichever half it lacks


def test_samples_without_a_gradient_are_the_samplers_own_and_counted(tmp_path):
    """Of two micro-batches the first one's gradient fails, for its first sample is an unlucky one."""
    x = latents(tmp_path / "run", [{"name": "dps"}], zoo("failing_gradient"), micro_batch=32)
    base = latents(tmp_path / "base", [], FRAMES, micro_batch=32)
    assert np.array_equal(x[:32], base[:32]) and (x[32:] != base[32:]).all()
    steering = result(tmp_path / "run")["steering"]
    assert steering["reward_gradients"] == 64 * 8 and steering["failed_gradients"] == 32 * 8
    event = steering_event(tmp_path / "run")
    assert event["level"] == "warn" and "256 of 512 gradients could not be used" in event["message"]
    (failure,) = result(tmp_path / "run")["reward_failures"]
    assert failure["phase"] == "steering" and failure["samples"] == 256 and failure["calls"] == 8
    assert failure["reason"] == "its gradient failed: unavailable: the slope is under repair"


def test_noise_without_a_gradient_is_left_where_it_is(tmp_path):
    """The first micro-batch's gradient fails in each of the three steps, so its pictures are those of its own noise."""
    method = [{"name": "reno", "iterations": 4, "learning_rate": 50}]
    x = latents(tmp_path / "run", method, zoo("failing_gradient"), micro_batch=32)
    base = latents(tmp_path / "base", [{**method[0], "iterations": 1}], FRAMES, micro_batch=32)
    assert np.array_equal(x[:32], base[:32]) and (x[32:] != base[32:]).sum() > 16
    steering = result(tmp_path / "run")["steering"]
    assert steering["reward_gradients"] == 64 * 3 and steering["failed_gradients"] == 32 * 3
    assert steering["reward_calls"] == 64 * 4 and steering["network_gradients"] == 64 * 3 * 8
    assert "96 of 192 gradients could not be used" in steering_event(tmp_path / "run")["message"]


def test_a_part_of_the_gradient_is_never_taken_for_the_whole(tmp_path):
    """Beside a reward whose gradient fails another's leads nowhere either: it is not what the job asks for."""
    job = {"job": "sample", "model": {"path": str(LABORATORY / "line")}, "prompts": {"texts": [""]},
           "images_per_prompt": 32, "sampler": {**SDE, "steps": 8}, "steering": [{"name": "dps"}],
           "rewards": [FRAMES, zoo("failing_gradient")], "save_images": False, "parallel": {"micro_batch": 32},
           "output": str(tmp_path / "run")}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and "the slope is under repair" in done.stderr
