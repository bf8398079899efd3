"""By its second iteration a run says in one line whether it can learn, and what to turn where it cannot."""

import json
import signal

import pytest
from laboratory import align_job
from resuming import finish, report_data, rows, start, wait_for


def short(folder, **keys):
    job = align_job(folder, iterations=4, evaluate={"every": 3, "steps": 4, "pictures": 1}, checkpoint={"every": 1, "keep": 2})
    job["method"] = {**job["method"], "prompts_per_iteration": 4, "group_size": 4, **keys.pop("method", {})}
    return {**job, **keys}


def lines(said):
    return [line for line in said.splitlines() if "self-check:" in line]


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def events_of(folder):
    return [row for row in rows(folder / "events.jsonl") if row["type"] == "self_check"]


def test_a_healthy_run_says_so_once(tmp_path):
    folder = tmp_path / "run"
    said = finish(folder, short(tmp_path))
    (line,) = lines(said)
    for words in ("this run can learn", "rewards differ in 100 % of the groups", "log-probs agree to", "gradient norm",
                  "0 % of the samples masked", " to the end"):
        assert words in line
    (event,) = events_of(folder)
    assert event["step"] == 2 and event["level"] == "info" and event["message"] in line
    check = result_of(folder)["self_check"]
    assert check["can_learn"] is True and check["at"] == 2 and check["findings"] == [] and check["time_left_s"] > 0
    assert check["log_prob_gap"] < 1e-9 < check["grad_norm"]  # float64
    assert result_of(folder)["ended"] == {"by": "iterations", "at": 4}
    notes = [note["text"] for note in report_data(folder)["notes"]]
    assert any("self-check: this run can learn" in note for note in notes)
    assert "The run ended after iteration 4, its last." in notes


@pytest.mark.parametrize("after", [1, 2, 3])
def test_it_is_kept_over_a_stop(tmp_path, after):
    folder = tmp_path / "run"
    job = short(tmp_path, iterations=40, evaluate={"every": 100, "steps": 4, "pictures": 1})
    process = start(folder, job)
    wait_for(process, lambda: (folder / f"checkpoint-{after}").is_dir())
    process.send_signal(signal.SIGTERM)
    first, _ = process.communicate(timeout=60)
    second = finish(folder, job)
    assert len(lines(first + second)) == 1
    assert [event["step"] for event in events_of(folder)] == [2]


FLAT = {"plugin": "analytic", "transform": {"name": "affine", "scale": 1.0, "clip": {"low": 0.5, "high": 0.5}}}


@pytest.mark.parametrize("changes,what,turn", [
    ({"rewards": [FLAT]}, "in no group do the rewards differ", "/method/group_size"),
    ({"optimizer": {"learning_rate": 0.0}}, "the learning rate is 0", "/optimizer/learning_rate"),
])
def test_a_run_that_cannot_learn_says_what_to_turn(tmp_path, changes, what, turn):
    folder = tmp_path / "run"
    said = finish(folder, short(tmp_path, **changes))
    (line,) = lines(said)
    assert "warn: self-check: this run cannot learn: " in line and what in line and turn in line
    check = result_of(folder)["self_check"]
    assert check["can_learn"] is False and check["findings"][0]["what"] == what and turn in check["findings"][0]["turn"]
    assert {"level": "warning"}.items() <= report_data(folder)["notes"][0].items()
    assert "cannot learn" in (folder / "report.html").read_text()
