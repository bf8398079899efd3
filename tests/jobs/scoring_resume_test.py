"""`score` and `evaluate` jobs that are stopped or killed go on, and leave what undisturbed ones leave."""

import json
import signal

import numpy as np
import pytest
from resuming import finish, kill_after, make_files, start, untimed, wait_for
from safetensors.numpy import save_file


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = make_files(tmp_path_factory.mktemp("scoring-resume"))
    pictures = np.random.default_rng(1).random((400, 1, 3, 16, 16), dtype=np.float32)
    save_file({"frames": pictures}, folder / "frames.safetensors")
    return folder


def score_job(files):
    return {"job": "score", "frames": str(files / "frames.safetensors"), "prompts": {"path": str(files / "many.txt"), "limit": 400},
            "rewards": [{"plugin": "color"}], "batch_size": 1, "checkpoint": {"every_seconds": 0}}


def evaluate_job(files):
    return {"job": "evaluate", "model": {"path": str(files / "model"), "max_sequence_length": 1},
            "prompts": {"path": str(files / "many.txt"), "limit": 90}, "size": {"height": 16, "width": 16}, "steps": 4,
            "guidance": [{"guidance_scale": 1.0}, {"guidance_scale": 2.0}], "rewards": [{"plugin": "color"}], "pictures": 12,
            "checkpoint": {"every_seconds": 0}, "parallel": {"workers": 2, "micro_batch": 4}}


def left(folder):
    found = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    for name in ("scores.jsonl", "events.jsonl"):
        found[name] = (folder / name).read_text() if (folder / name).exists() else ""
    return {**found, "result": untimed(json.loads((folder / "result.json").read_text()))}


def parts(folder):
    return list((folder / "parts").glob("checkpoint-*"))


@pytest.mark.parametrize("make", [score_job, evaluate_job], ids=["score", "evaluate"])
def test_it_goes_on_and_leaves_the_same(make, files, tmp_path):
    job, whole = make(files), tmp_path / "whole" / "run"
    finish(whole, job)
    assert not (whole / "parts").exists()
    killed = tmp_path / "killed" / "run"
    for wanted in (2, 5):
        process = start(killed, job)
        wait_for(process, lambda: len(parts(killed)) >= wanted)
        kill_after(process, killed, 0)
    assert "resuming: " in finish(killed, job)
    assert left(killed) == left(whole) and not (killed / "parts").exists()
    stopped = tmp_path / "stopped" / "run"
    process = start(stopped, job)
    wait_for(process, lambda: len(parts(stopped)) >= 2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3 and "run the same command to go on" in said
    assert "resuming: " in finish(stopped, job)
    assert left(stopped) == left(whole)


@pytest.mark.parametrize("make", [score_job, evaluate_job], ids=["score", "evaluate"])
def test_parts_of_another_job_are_refused(make, files, tmp_path):
    job, folder = make(files), tmp_path / "run"
    process = start(folder, job)
    wait_for(process, lambda: len(parts(folder)) >= 2)
    kill_after(process, folder, 0)
    process = start(folder, {**job, "seed": 1})
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and "seed" in said, said
