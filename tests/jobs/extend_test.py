"""What of a job may change while its run goes on, and what a run that was stopped can give away."""

import json
import shutil

import pytest
from program import thalweg, write_job
from resuming import checkpoint_steps, differences, finish, make_files, results, rows, short_job, start, wait_for


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("extend"))


def job_of(files, **sections):
    return short_job(files, "flow_grpo", evaluate={"every": 2}, **sections)


@pytest.fixture(scope="module")
def whole(files):
    folder = files / "whole" / "run"
    finish(folder, job_of(files))
    return folder


@pytest.fixture
def halfway(files, tmp_path):
    """A killed run with checkpoints up to 4 of 6, its job, and a folder with inputs of its own."""
    inputs = tmp_path / "inputs"
    shutil.copytree(files / "model", inputs / "model")
    shutil.copy(files / "prompts.txt", inputs / "prompts.txt")
    job = job_of(files, model={"path": str(inputs / "model")}, prompts={"train": str(inputs / "prompts.txt")})
    folder = tmp_path / "halfway" / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / "checkpoint-4").exists())
    process.kill()
    process.communicate()
    return folder, job, inputs


def test_a_finished_run_goes_on_to_more_iterations(files, whole, tmp_path):
    """And is the run that was asked for as many from the start."""
    folder = tmp_path / "run"
    finish(folder, job_of(files, iterations=4))
    assert json.loads((folder / "result.json").read_text())["iterations"] == 4
    said = finish(folder, job_of(files))
    assert "settings have changed since checkpoint-4: /iterations from 4 to 6" in said
    assert "resuming at iteration 4" in said
    assert differences(results(whole), results(folder)) == []


def refused(folder, job):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = thalweg("run", write_job(folder.parent / "job.json", {**job, "output": str(folder)}))
    assert done.returncode == 2, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return done.stderr


def test_a_rate_that_falls_to_the_end_cannot_be_given_another_end(files, tmp_path):
    folder, falling = tmp_path / "run", {"optimizer": {"schedule": "linear", "learning_rate": 0.01}}
    finish(folder, job_of(files, iterations=2, **falling))
    said = refused(folder, job_of(files, iterations=4, **falling))
    assert "/iterations is 2 there and 4 here" in said and "/optimizer/schedule runs to the last iteration" in said
    assert "start a new run at this one's weights" in said


def test_what_is_done_cannot_be_taken_back(files, whole):
    assert "/iterations: is 3, and" in (said := refused(whole, job_of(files, iterations=3))) and "has done" in said


def test_settings_that_decide_no_number_may_change(files, halfway):
    folder, job, inputs = halfway
    moved = inputs.parent / "moved"
    inputs.rename(moved)
    (moved / "model/notes.txt").write_text("drawn with love")
    (moved / "model/transformer/notes.txt").write_text("drawn with love")
    changed = {**job, "name": "renamed", "model": {**job["model"], "path": str(moved / "model")},
               "prompts": {**job["prompts"], "train": str(moved / "prompts.txt")},
               "checkpoint": {"every": 3, "keep": 1}, "monitors": {"approx_kl": 0},
               "evaluate": {**job["evaluate"], "pictures": 1, "baselines": [{"guidance_scale": 2.0}]},
               "optimizer": {**job["optimizer"], "max_skipped": 3}, "parallel": {**job["parallel"], "workers": 2}}
    said = finish(folder, changed)
    (line,) = [line for line in said.splitlines() if "settings have changed since" in line]
    for key in ("/name", "/model/path", "/prompts/train", "/checkpoint/every from 1 to 3", "/evaluate/pictures",
                "/optimizer/max_skipped from 0 to 3"):
        assert key in line, line
    assert len(list((folder / "samples/after").glob("0*.png"))) == 1
    whole = folder.parent / "whole" / "run"
    finish(whole, changed)
    one, other = results(whole), results(folder)
    assert [one[part] == other[part] for part in ("weights", "metrics", "events", "result")] == [True] * 4


def test_what_a_finished_run_shows_is_shown_anew(files, whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    said = finish(folder, job_of(files, name="another name"))
    assert "this job is finished" not in said and "another name" in (folder / "report.html").read_text()
    assert rows(folder / "metrics.jsonl") == rows(whole / "metrics.jsonl")
    assert "this job is finished" in finish(folder, job_of(files, name="another name"))


def evaluated(files, tmp_path, model):
    job = {"job": "evaluate", "model": {"path": str(files / "model"), "max_sequence_length": 1, **model},
           "prompts": {"path": str(files / "prompts.txt")}, "size": {"height": 16, "width": 16}, "steps": 3,
           "rewards": [{"plugin": "color"}], "seed": 11, "output": str(tmp_path / "evaluated")}
    done = thalweg("run", write_job(tmp_path / "evaluated.json", job))
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "evaluated/result.json").read_text())["evaluations"][0]["reward"]


def test_export_of_a_finished_run_is_its_own_file(whole, tmp_path):
    done = thalweg("export", whole, "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    name = "pytorch_lora_weights.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()


def test_export_of_a_stopped_run(files, halfway, tmp_path):
    """As strong as in the run, from wherever it started: alpha is that of the LoRA that it started from."""
    folder, job, _ = halfway
    strong = short_job(files, "flow_grpo", model={"lora": {"rank": 4, "alpha": 32}}, iterations=1, evaluate={"every": 1})
    finish(tmp_path / "strong" / "run", strong)
    start_file = tmp_path / "start.safetensors"
    shutil.move(tmp_path / "strong/run/pytorch_lora_weights.safetensors", start_file)
    job = {**job, "model": {**job["model"], "lora": {"rank": 4, "alpha": 8, "path": str(start_file)}}}
    run = tmp_path / "second" / "run"
    process = start(run, job)
    wait_for(process, lambda: (run / "checkpoint-3").exists())
    process.kill()
    process.communicate()
    start_file.unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = thalweg("export", run)
    assert done.returncode == 0, done.stderr
    (out,) = run.glob("export-*")
    step = int(out.name.split("-")[1])
    assert {path: path.read_bytes() for path in before} == before and f"weights of iteration {step}" in done.stdout
    row = next(row for row in rows(run / "metrics.jsonl") if row["kind"] == "eval" and row["step"] == step)
    lora = {"lora": {"path": str(out / "pytorch_lora_weights.safetensors")}}
    assert evaluated(files, tmp_path, lora) == pytest.approx(row["reward"], abs=1e-12)
    again = thalweg("export", run)
    assert again.returncode == 2 and "is there and not empty; name a new folder" in again.stderr


def test_export_of_all_weights(files, tmp_path):
    job = job_of(files, iterations=2)
    del job["model"]["lora"]
    run = tmp_path / "full" / "run"
    finish(run, job)
    newest = checkpoint_steps(run)[-1]
    done = thalweg("export", run, "--checkpoint", newest, "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    row = next(row for row in rows(run / "metrics.jsonl") if row["kind"] == "eval" and row["step"] == newest)
    assert evaluated(files, tmp_path, {"path": str(tmp_path / "out/model")}) == pytest.approx(row["reward"], abs=1e-12)


@pytest.mark.parametrize("spoil,words", [
    (lambda run: shutil.rmtree(run / "checkpoint-6"), "has no checkpoint-6; the newest is"),
    (lambda run: [shutil.rmtree(path) for path in run.glob("checkpoint-*")], "holds no checkpoint of a run"),
    (lambda run: [path.write_text("{") for path in run.glob("checkpoint-*/manifest.json")], "holds no whole checkpoint"),
])
def test_export_of_what_is_not_there(whole, tmp_path, spoil, words):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    spoil(run)
    done = thalweg("export", run, *(["--checkpoint", 6] if "checkpoint-6" in words else []))
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_export_from_another_model_is_refused(files, whole, tmp_path):
    shutil.copytree(files / "model", tmp_path / "model")
    with (tmp_path / "model/transformer/config.json").open("a") as file:
        file.write(" ")
    done = thalweg("export", whole, "--model", tmp_path / "model", "--to", tmp_path / "out")
    assert done.returncode == 2 and "/model/path" in done.stderr and "has changed" in done.stderr
