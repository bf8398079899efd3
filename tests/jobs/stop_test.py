"""A run that is told to stop does so soon, wherever it is, and goes on as if nothing had happened."""

import json
import signal
import time

import pytest
from resuming import (assert_same, checkpoint_steps, finish, make_files, rows, short_job, start, temporaries, wait_for)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("resume"))


def stopped(folder, job, ready, number=signal.SIGTERM):
    """Sends the signal once `ready()`; what the program said until it ended, which must be soon and with 3."""
    process = start(folder, job)
    wait_for(process, ready)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "run the same command to go on" in said
    assert json.loads((folder / "result.json").read_text()) == {"status": "stopped"}
    assert not temporaries(folder) and not (folder / "report.html").exists()
    return said


# Evaluations of 450 prompts, so that the signal comes inside of them.
@pytest.mark.parametrize("prompts,ready,step", [
    ("select", lambda folder: (folder / "metrics.jsonl").exists(), 0),
    ("eval", lambda folder: (folder / "checkpoint-6").exists(), 6),
])
def test_stop_inside_an_evaluation(prompts, ready, step, files, tmp_path):
    job = short_job(files, "flow_grpo", prompts={prompts: str(files / "many.txt")})
    if step == 0:
        job["evaluate"]["every"] = 6
    finish(tmp_path / "whole" / "run", job)
    folder = tmp_path / "stopped" / "run"
    stopped(folder, job, lambda: ready(folder), signal.SIGINT)
    assert checkpoint_steps(folder)[-1] == step
    assert f"resuming at iteration {step}" in finish(folder, job)
    assert_same(folder, tmp_path / "whole" / "run")


def test_stop_inside_an_iteration_gives_it_up(files, tmp_path):
    """The rollout is thousands of micro-batches long: only one that is given up stops in time."""
    job = short_job(files, "diffusion_nft", iterations=2, method={"group_size": 2000, "prompts_per_iteration": 2})
    folder = tmp_path / "run"
    started = time.monotonic()
    stopped(folder, job, lambda: (folder / "metrics.jsonl").exists() and rows(folder / "metrics.jsonl"))
    assert checkpoint_steps(folder) == [0] and len(rows(folder / "metrics.jsonl")) == 1
    assert time.monotonic() - started < 60


def test_second_signal_stops_at_once(files, tmp_path):
    """Both signals wait for a stopped process, so that it makes no step between them."""
    job = short_job(files, "diffusion_nft", parallel={"micro_batch": 4096},
                    method={"group_size": 2000, "prompts_per_iteration": 2})
    folder = tmp_path / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / "metrics.jsonl").exists() and rows(folder / "metrics.jsonl"))
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM), said
    assert "once more: stop at once" in said
