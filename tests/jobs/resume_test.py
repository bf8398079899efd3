"""A run that is killed or stopped at any moment goes on as if nothing had happened, or says why it does not."""

import json
import random
import shutil
import signal
import time

import pytest
from program import PROGRAM, thalweg, write_job
from resuming import (METHODS, differences, finish, kill_after, kill_in_save, make_files, results, rows, short_job, start,
                      temporaries, wait_for)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

KILLS = 4  # and 2 inside of a save; tests/jobs/kill_campaign.py does more


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return request.param


@pytest.fixture(scope="module")
def whole(method, files):
    """The uninterrupted run: folder, results and how long it takes."""
    folder = files / f"{method}-whole" / "run"
    started = time.monotonic()
    finish(folder, short_job(files, method))
    return folder, results(folder), time.monotonic() - started


def scalars(folder):
    """What TensorBoard shows of a run, however many files it has."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def assert_same(folder, whole):
    assert differences(whole[1], results(folder)) == []
    assert scalars(folder) == scalars(whole[0])


def test_killed_runs_equal_the_uninterrupted_one(method, files, whole, tmp_path):
    draw, job = random.Random(5), short_job(files, method)
    for number in range(KILLS + 2):
        folder = tmp_path / str(number) / "run"
        hit = in_save = False
        for _ in range(20):
            shutil.rmtree(folder.parent, ignore_errors=True)
            process = start(folder, job)
            if number < KILLS:
                hit, _ = kill_after(process, folder, draw.uniform(0.1, 0.9) * whole[2])
            else:
                hit, in_save = kill_in_save(process, folder, draw.randint(2, 5), draw.uniform(0, 0.01))
            if hit and (number < KILLS or in_save):
                break
        assert hit and (number < KILLS or in_save), "no kill came in time"
        finish(folder, job)
        assert_same(folder, whole)


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


def checkpoint_steps(folder):
    return sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))


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
    assert_same(folder, (tmp_path / "whole" / "run", results(tmp_path / "whole" / "run")))


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


@pytest.fixture
def halfway(files, tmp_path):
    """A run with checkpoints 3 and 4 of 6 (a copy to spoil), its inputs in `tmp_path`, and its job."""
    inputs = tmp_path / "inputs"
    shutil.copytree(files / "model", inputs / "model")
    shutil.copy(files / "prompts.txt", inputs / "train.txt")
    shutil.copy(next((PROGRAM.parent / "plugins").rglob("color.so")), inputs / "red.so")
    job = short_job(files, "flow_grpo", model={"path": str(inputs / "model")}, prompts={"train": str(inputs / "train.txt")},
                    checkpoint={"every": 1, "keep": 2}, evaluate={"every": 6})
    job["rewards"] = [{"plugin": str(inputs / "red.so"), "isolation": "inproc"}]
    folder = tmp_path / "halfway" / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / "checkpoint-4").exists())
    process.kill()
    process.communicate()
    return folder, job, inputs


def refused(folder, job):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = thalweg("run", write_job(folder.parent / "job.json", {**job, "output": str(folder)}))
    assert done.returncode == 2, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return done.stderr


@pytest.mark.parametrize("name,pointer", [("train.txt", "/prompts/train"), ("red.so", "/rewards/0/plugin"),
                                          ("model/transformer/config.json", "/model/path"),
                                          ("model/vae/diffusion_pytorch_model.safetensors", "/model/path")])
def test_changed_input_is_refused_by_name(name, pointer, halfway):
    folder, job, inputs = halfway
    path = inputs / name
    original = path.read_bytes()
    path.write_bytes(original + (b" " if name != "train.txt" else b"a blue circle\n"))
    said = refused(folder, job)
    assert said.startswith(f"thalweg: {pointer}: {path} has changed since {folder}/checkpoint-"), said
    path.write_bytes(original)
    assert "resuming at iteration" in finish(folder, job)


def test_another_job_is_refused_by_its_first_difference(halfway):
    folder, job, _ = halfway
    said = refused(folder, {**job, "optimizer": {"learning_rate": 0.02, "warmup_iterations": 2}})
    assert "belongs to another job: /optimizer/learning_rate is 0.01 there and 0.02 here" in said




@pytest.mark.parametrize("key,value,words", [("libtorch", "2.10.0", "computed with another LibTorch: 2.10.0 there"),
                                             ("cpu_capability", "AVX9", "set ATEN_CPU_CAPABILITY")])
def test_another_machine_is_refused_by_name(key, value, words, halfway):
    folder, job, _ = halfway
    for manifest in folder.glob("checkpoint-*/manifest.json"):
        content = json.loads(manifest.read_text())
        content["run"]["machine"][key] = value
        manifest.write_text(json.dumps(content))
    assert words in refused(folder, job)


def test_another_processor_is_said(halfway):
    folder, job, _ = halfway
    for manifest in folder.glob("checkpoint-*/manifest.json"):
        content = json.loads(manifest.read_text())
        content["run"]["machine"]["processor"] = "Abacus"
        manifest.write_text(json.dumps(content))
    assert "computed on another processor (Abacus there" in finish(folder, job)
    assert [event["type"] for event in rows(folder / "events.jsonl")] == ["other_processor"]


SPOILS = {"manifest cut": lambda c: (c / "manifest.json").write_text('{"version": 2, "st'),
          "no manifest": lambda c: (c / "manifest.json").unlink(),
          "weights changed": lambda c: (c / "policy.safetensors").write_bytes(b"\0" * (c / "policy.safetensors").stat().st_size),
          "state missing": lambda c: (c / "state.json").unlink()}


@pytest.mark.parametrize("spoil", SPOILS)
def test_damaged_checkpoint_is_passed_over(spoil, halfway):
    folder, job, _ = halfway
    last = folder / f"checkpoint-{checkpoint_steps(folder)[-1]}"
    step = checkpoint_steps(folder)[-2]
    SPOILS[spoil](last)
    said = finish(folder, job)
    assert "a checkpoint is damaged and passed over" in said and f"resuming at iteration {step}" in said
    (event,) = rows(folder / "events.jsonl")
    assert (event["level"], event["type"], event["step"]) == ("warn", "checkpoint_damaged", step)
    assert event["data"]["checkpoint"] == last.name
    assert (folder / f"{last.name}.damaged").is_dir()


def test_only_damaged_checkpoints(halfway):
    folder, job, _ = halfway
    for manifest in folder.glob("checkpoint-*/manifest.json"):
        manifest.write_text("")
    said = finish(folder, job)
    assert "no checkpoint is whole: the run starts from the beginning" in said
    assert [row["step"] for row in rows(folder / "metrics.jsonl") if row["kind"] == "train"] == [1, 2, 3, 4, 5, 6]


def test_best_checkpoint_is_kept(files, tmp_path):
    """Trained away from what is measured, the first evaluation is the best one; only one checkpoint is to be kept."""
    job = short_job(files, "diffusion_nft", evaluate={"every": 1, "metric": "color/redness"},
                    checkpoint={"every": 3, "keep": 1}, optimizer={"learning_rate": 0.1}, ema_decay=0.0)
    job["rewards"] = [{"plugin": "color", "weight": -1}]
    folder = tmp_path / "run"
    finish(folder, job)
    best = json.loads((folder / "result.json").read_text())["checkpoint"]["step"]
    assert best < 6
    assert checkpoint_steps(folder) == [best, 6]


def test_finished_run_says_so(method, files, whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    job = {**short_job(files, method), "output": str(folder)}
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "job.json"}
    said = finish(folder, job)
    assert "this job is finished" in said
    assert {path: path.read_bytes() for path in before} == before
    (folder / "report.html").unlink()  # what is missing is made again
    finish(folder, job)
    assert_same(folder, whole)


def test_two_processes_in_one_folder(files, tmp_path):
    job = short_job(files, "diffusion_nft", method={"group_size": 2000, "prompts_per_iteration": 2})
    folder = tmp_path / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / "metrics.jsonl").exists())
    other = thalweg("run", tmp_path / "job.json")
    process.kill()
    process.communicate()
    assert other.returncode == 2 and "another process is running a job in" in other.stderr
