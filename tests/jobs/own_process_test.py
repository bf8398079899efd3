"""Rewards in processes of their own: the same numbers, and nothing that they do ends a run."""

import json
import os
import signal
import subprocess
import time

import pytest
from parity_tool import BUILD
from program import ENVIRONMENT, PROGRAM, run_job, thalweg, validated, write_job
from workers_test import rows, stop_after
from zoo_test import (MASKING, REFUSED, ZOO, events, expected_masked, files, numbers_of_lora, result,  # noqa: F401
                      score_job, spoilt_files, zoo_job)


def own(name, **process):
    return {"plugin": str(ZOO / f"{name}.so"), "host": process} if process else {"plugin": str(ZOO / f"{name}.so")}


def scores(folder):
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("plugin", ["good", "talks", "prints", *MASKING])
def test_a_run_is_the_same_as_in_the_program(files, tmp_path, plugin):  # noqa: F811
    """Bit for bit, with what is said of it."""
    inside = run_job(tmp_path / "inside", zoo_job(files, plugin))
    outside = run_job(tmp_path / "outside", zoo_job(files, plugin, rewards=[own(plugin)]))
    assert numbers_of_lora(outside) == numbers_of_lora(inside)
    assert result(outside)["reward_failures"] == result(inside)["reward_failures"]
    assert [(e["step"], e["message"]) for e in events(outside)] == [(e["step"], e["message"]) for e in events(inside)]
    if plugin in MASKING:
        training = [row for row in rows(outside) if row["kind"] == "train"]
        assert [row["masked_samples"] for row in training] == [expected_masked(plugin, 16 * i, 16) for i in range(2)]


@pytest.mark.parametrize("plugin", ["color", "two_inputs"])
def test_gradients_cross_too(files, tmp_path, plugin):  # noqa: F811
    path = BUILD / "plugins/color.so" if plugin == "color" else ZOO / f"{plugin}.so"
    drawn = {}
    for isolation in ("inproc", "process"):
        job = {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"texts": ["a", "b"]},
               "sampler": {"name": "memoryless", "steps": 4, "height": 16, "width": 16},
               "steering": [{"name": "dps", "lambda": 5.0}],
               "rewards": [{"plugin": str(path), "isolation": isolation}]}
        folder = run_job(tmp_path / isolation, job)
        drawn[isolation] = (folder / "latents.safetensors").read_bytes() if (folder / "latents.safetensors").exists() else scores(folder)
    assert drawn["inproc"] == drawn["process"]


ENDS = {"crashes": "died of SIGSEGV in score", "aborts": "died of SIGABRT in score",
        "exits": "ended by itself with exit code", "quits": "ended by itself with exit code",
        "loops": "did not return within 8 s, and died of SIGKILL in score"}


@pytest.mark.parametrize("plugin", ENDS)
def test_a_process_that_ends_costs_its_samples(files, tmp_path, plugin):  # noqa: F811
    """Seven samples in three calls: two restarts, then none; the good one beside it is scored throughout."""
    job = score_job(files, None, batch_size=3, rewards=[{**own(plugin, call_seconds=8.0, restarts=2), "use": "watch"}, own("good")],
                    output=str(tmp_path / "run"))
    begin = time.monotonic()
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begin < 200  # not for ever
    found = result(tmp_path / "run")
    reasons = {entry["reason"]: entry["samples"] for entry in found["reward_failures"]}
    assert sum(reasons.values()) == 7 and all(ENDS[plugin] in reason for reason in reasons), reasons
    for row in scores(tmp_path / "run"):
        assert row[f"{plugin}/square"] is None and row["good/square"] is not None


def test_no_restart_is_left(files, tmp_path):  # noqa: F811
    rewards = [{**own("crashes", restarts=0), "weight": 0.0}, own("good")]
    folder = run_job(tmp_path / "run", score_job(files, None, batch_size=3, rewards=rewards))
    reasons = {entry["reason"]: entry["samples"] for entry in result(folder)["reward_failures"]}
    assert reasons == {"its process died of SIGSEGV in score": 3,
                       "its process died of SIGSEGV and is not begun again: no restart is left": 4}


def test_training_goes_on_without_the_samples_of_a_crash(files, tmp_path):  # noqa: F811
    """The third call of each process dies: 16 samples an iteration in calls of 4."""
    job = zoo_job(files, "good", rewards=[own("dies", restarts=100)])
    path = write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "run")})
    done = subprocess.run([PROGRAM, "run", path], env={**ENVIRONMENT, "THALWEG_DIES": "score:3:segv"},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    masked = [row["masked_samples"] for row in rows(tmp_path / "run") if row["kind"] == "train"]
    assert all(0 < count < 16 for count in masked), masked


@pytest.mark.parametrize("place", ["loading", "init", "activate"])
def test_one_that_cannot_start_is_refused(files, tmp_path, place):  # noqa: F811
    job = score_job(files, own("dies"), output=str(tmp_path / "run"))
    done = subprocess.run([PROGRAM, "run", write_job(tmp_path / "job.json", job)], capture_output=True, text=True,
                          env={**ENVIRONMENT, "THALWEG_DIES": f"{place}:1:abort"})
    assert done.returncode == 2
    assert "/rewards/0" in done.stderr and "died of SIGABRT" in done.stderr, done.stderr


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plugin_is_refused_at_its_place(files, tmp_path, name):  # noqa: F811
    path = spoilt_files(tmp_path).get(name, ZOO / f"{name}.so")
    done = thalweg("run", write_job(tmp_path / "job.json", score_job(files, {"plugin": str(path)}, output=str(tmp_path / "run"))))
    assert done.returncode == 2
    assert done.stderr.startswith("thalweg: /rewards/0") and REFUSED[name] in done.stderr


def test_limits_are_refused_where_nothing_reads_them(files, tmp_path):  # noqa: F811
    job = score_job(files, {**own("good", call_seconds=5.0), "isolation": "inproc"}, output=str(tmp_path / "run"))
    done = validated(write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and "/rewards/0/host" in done.stderr


def test_limits_may_change_when_a_run_goes_on(files, tmp_path):  # noqa: F811
    job = zoo_job(files, "good", rewards=[own("good")], iterations=4, checkpoint={"every": 1, "keep": 2})
    path, code, output = stop_after(tmp_path / "run", job, 2, signal.SIGKILL)
    assert code == -signal.SIGKILL, output
    resumed = thalweg("run", path, "--set", "/rewards/0/host/call_seconds=77")
    assert resumed.returncode == 0, resumed.stderr
    whole = run_job(tmp_path / "whole", job)
    assert numbers_of_lora(tmp_path / "run") == numbers_of_lora(whole)


def hosts():
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if "thalweg-reward-host" in line]


def test_a_program_that_is_killed_leaves_no_process(files, tmp_path):  # noqa: F811
    before = hosts()
    job = score_job(files, own("loops", call_seconds=1000.0), output=str(tmp_path / "run"))
    program = subprocess.Popen([PROGRAM, "run", write_job(tmp_path / "job.json", job)], env=ENVIRONMENT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    for _ in range(600):
        if len(hosts()) > len(before):
            break
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    for _ in range(100):
        if len(hosts()) <= len(before):
            return
        time.sleep(0.1)
    raise AssertionError(hosts())
