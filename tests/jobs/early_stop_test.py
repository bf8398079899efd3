"""A run ends when its held-out reward no longer rises, and is the same run however it came to that."""

import json
import shutil
import signal

import pytest
from laboratory import align_job
from program import thalweg, validated, write_job
from resuming import checkpoint_steps, differences, finish, report_data, results, rows, start, wait_for

# No evaluation will exceed the start by so much: it ends at the second one, in iteration 4.
NEVER = {"patience": 2, "min_delta": 1000.0}


def job_of(folder, early_stop=NEVER, iterations=12, **keys):
    evaluate = {"every": 2, "steps": 4, "pictures": 1, **({"early_stop": early_stop} if early_stop else {})}
    job = align_job(folder, iterations=iterations, evaluate=evaluate, checkpoint={"every": 1, "keep": 2})
    job["method"] = {**job["method"], "prompts_per_iteration": 4, "group_size": 4}
    return {**job, **keys}


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("early")
    job = job_of(folder)
    return job, folder / "whole" / "run", finish(folder / "whole" / "run", job)


def evaluations(folder):
    return {row["step"]: row["reward"] for row in rows(folder / "metrics.jsonl") if row["kind"] == "eval"}


def test_the_run_ends_well_and_says_why(ended):
    _, folder, said = ended
    result = result_of(folder)
    assert result["status"] == "succeeded" and result["iterations"] == 12
    assert result["ended"]["by"] == "early_stop" and result["ended"]["at"] == 4
    assert "in 2 held-out evaluations in a row reward did not exceed" in result["ended"]["why"]
    assert "early stop after iteration 4" in said
    (event,) = [row for row in rows(folder / "events.jsonl") if row["type"] == "early_stop"]
    assert event["step"] == 4
    data = report_data(folder)
    assert data["headline"]["Iterations"] == "4 of 12" and data["status"] == "succeeded"
    assert any("The run ended after iteration 4, early: " in note["text"] for note in data["notes"])


def test_what_is_exported_is_the_best(ended, tmp_path):
    _, folder, _ = ended
    found = evaluations(folder)
    best = max((step for step in found if step > 0), key=found.get)
    assert set(found) == {0, 2, 4} and result_of(folder)["checkpoint"]["step"] == best
    assert best in checkpoint_steps(folder)
    done = thalweg("export", folder, "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    files = [path.relative_to(folder) for path in (folder / "model").rglob("*") if path.is_file()]
    assert files
    for file in files:
        assert (tmp_path / "out" / file).read_bytes() == (folder / file).read_bytes()


def test_it_is_finished(ended):
    job, folder, _ = ended
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "this job is finished" in finish(folder, job)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_run_ends_at_the_same_bits(ended, tmp_path, after):
    job, whole, _ = ended
    folder = tmp_path / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / f"checkpoint-{after}").is_dir())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finish(folder, job)
    assert differences(results(whole), results(folder)) == []


def test_more_iterations_do_not_change_it_and_it_says_so(ended, tmp_path):
    """The run is the one that was asked for as many from the start."""
    job, whole, _ = ended
    folder = tmp_path / "more" / "run"
    shutil.copytree(whole, folder)
    said = finish(folder, {**job, "iterations": 20})
    assert "this run has ended after iteration 4, and more /iterations do not change that" in said
    assert "/evaluate/early_stop/patience" in said
    asked = tmp_path / "asked" / "run"
    finish(asked, {**job, "iterations": 20})
    assert differences(results(asked), results(folder)) == []
    assert "this job is finished" in finish(folder, {**job, "iterations": 20})


@pytest.mark.parametrize("early_stop,end", [({"patience": 3, "min_delta": 1000.0}, 6), (None, 8)])
def test_more_patience_goes_on(ended, tmp_path, early_stop, end):
    """The same numbers as of a run that had it from the start; the event of its first end stays on record."""
    _, whole, _ = ended
    folder, other = tmp_path / "run", tmp_path / "other" / "run"
    shutil.copytree(whole, folder)
    job = job_of(whole.parent.parent, early_stop, iterations=8)
    finish(folder, job)
    finish(other, job)
    assert result_of(folder)["ended"]["at"] == end
    one, two = results(folder), results(other)
    assert [one[part] == two[part] for part in ("weights", "metrics", "result")] == [True] * 3


def test_what_is_done_cannot_be_taken_back(ended, tmp_path):
    _, whole, _ = ended
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    job = {**job_of(whole.parent.parent, {"patience": 1, "min_delta": 1000.0}), "output": str(folder)}
    for command in ("validate", "run"):
        done = thalweg(command, write_job(tmp_path / "job.json", job))
        assert done.returncode == 2, done.stdout
        assert "/evaluate/early_stop: would have ended this run after iteration 2, and" in done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("early_stop,iterations,words", [
    ({"patience": 6}, 12, "/evaluate/early_stop/patience: 6 evaluations, one every 2 iterations, are not over"),
    ({"patience": 0}, 12, "/evaluate/early_stop/patience"),
    ({"min_delta": -1}, 12, "/evaluate/early_stop/min_delta"),
    ({"patiense": 2}, 12, "/evaluate/early_stop/patiense: unknown key"),
])
def test_what_cannot_act_is_refused(tmp_path, early_stop, iterations, words):
    done = validated(write_job(tmp_path / "job.json", job_of(tmp_path, early_stop, iterations)))
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_the_longest_patience_that_can_act(tmp_path):
    done = validated(write_job(tmp_path / "job.json", job_of(tmp_path, {"patience": 5})))
    assert done.returncode == 0, done.stderr


def test_a_falling_rate_may_end_early_and_go_on(tmp_path):
    """Ending early decides nothing of the steps that were done, whatever the rate's schedule."""
    falling = {"optimizer": {"learning_rate": 0.02, "schedule": "cosine"}}
    folder = tmp_path / "run"
    finish(folder, job_of(tmp_path, iterations=8, **falling))
    assert result_of(folder)["ended"]["at"] == 4
    finish(folder, job_of(tmp_path, None, iterations=8, **falling))
    assert result_of(folder)["ended"] == {"by": "iterations", "at": 8}
    other = tmp_path / "other" / "run"
    finish(other, job_of(tmp_path, None, iterations=8, **falling))
    assert results(folder)["weights"] == results(other)["weights"]
