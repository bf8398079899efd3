"""Alignment of a model whose truth is known: what it moves, and that it goes on after a stop."""

import json
import signal

import numpy as np
import pytest
from laboratory import VIDEO, align_job, run, sample_job
from mixtures import REFERENCE, mean, mixture, saved_latents, w1
from resuming import differences, finish, results, start, wait_for
from safetensors.numpy import load_file


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """The uninterrupted run of an F = 4 job."""
    folder = tmp_path_factory.mktemp("aligned")
    job = align_job(folder)
    finish(folder / "whole" / "run", job)
    return job, folder / "whole" / "run"


def test_alignment_moves_the_law_of_every_frame_to_the_reward(aligned, tmp_path):
    job, folder = aligned
    before, after = REFERENCE, mixture(folder / "model")
    assert mean(after) > mean(before) + 0.15
    evaluations = [row for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if row["kind"] == "eval"]
    assert evaluations[-1]["reward"] > evaluations[0]["reward"] + 0.1
    # The saved folder is a model like any other.
    x = saved_latents(run(sample_job(tmp_path, folder / "model", VIDEO), tmp_path / "run"))["latents"]
    for frame in range(4):
        assert w1(x[:, :, frame], after) < 0.05
    names = {path.name for path in (folder / "samples" / "after").iterdir()}
    assert "00000.mp4" in names and "grid.png" in names
    assert (folder / "report.html").stat().st_size > 10000


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_alignment_goes_on_to_the_same_bits(aligned, tmp_path, number):
    job, whole = aligned
    folder = tmp_path / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / "checkpoint-10").is_dir())
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (3 if number == signal.SIGTERM else -number)
    assert not (folder / "report.html").exists()
    finish(folder, job)
    assert differences(results(whole), results(folder)) == []


def test_the_other_method_trains_in_double_precision_too(tmp_path):
    job = align_job(tmp_path, iterations=3, sampler={"name": "flow_ode", "steps": 8, **VIDEO}, method={
        "name": "diffusion_nft", "prompts_per_iteration": 4, "group_size": 8, "kl_beta": 0.01})
    finish(tmp_path / "run", job)
    assert load_file(next((tmp_path / "run").glob("checkpoint-*/policy.safetensors")))["means"].dtype == np.float64
