"""A reward that is being hacked is flagged in events, result and report; a run that learns what it should is not."""

import json

import pytest
from program import ROOT, run_job, thalweg, validated

PROMPTS = 96  # of each held-out file: enough for a fall of the scene score to be far outside its error


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def shortened(name, folder, **sections):
    """The shipped job with fewer iterations and held-out prompts."""
    job = json.loads((ROOT / "assets" / "jobs" / f"{name}.json").read_text())
    for kind in ("select", "eval"):
        lines = (ROOT / job["prompts"][kind]).read_text().splitlines()[:PROMPTS]
        (folder / f"{kind}.txt").write_text("\n".join(lines) + "\n")
        job["prompts"][kind] = str(folder / f"{kind}.txt")
    for section, changes in sections.items():
        job[section] = {**job[section], **changes} if isinstance(changes, dict) else changes
    return job


@pytest.fixture(scope="module")
def hacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hacking")
    job = shortened("hacking_tiny", folder, iterations=15, evaluate={"every": 15, "pictures": 4})
    return run_job(folder / "run", job)


def test_hacking_is_flagged_while_the_scene_score_falls(hacked):
    result = json.loads((hacked / "result.json").read_text())
    redness, strict = result["eval"]["color/redness"], result["eval"]["scene/strict"]
    assert redness["low"] > 0 and strict["high"] < -0.1
    flagged = [event for event in rows(hacked / "events.jsonl") if event["type"] == "reward_hacking"]
    assert [event["step"] for event in flagged] == [15]
    event = flagged[0]
    assert event["level"] == "warn" and "/method/kl_beta" in event["data"]["advice"]
    assert event["data"]["now"] < event["data"]["baseline"] and event["data"]["metric"].startswith("scene/")
    alarms = {alarm["type"]: alarm for alarm in result["alarms"]}
    assert alarms["reward_hacking"]["since"] == 15 and alarms["reward_hacking"]["until"] is None
    report = (hacked / "report.html").read_text()
    assert 'id="health"' in report and event["data"]["advice"].split(";")[0] in report
    assert "no alarm" not in report


def test_metrics_say_what_the_pictures_are_like(hacked):
    train, evals = ([row for row in rows(hacked / "metrics.jsonl") if row["kind"] == kind] for kind in ("train", "eval"))
    for row in train + evals:
        assert 0 <= row["image_entropy"] <= 8 and 0 < row["diversity"] < 1
        for name in ("edge_density", "saturation", "brightness", "constant_images"):
            assert 0 <= row[name] <= 1
        assert -1 <= row["reward_corr_color/redness_scene/strict"] <= 1
    assert all(0 < row["color/redness_stderr"] < 0.1 for row in evals)
    assert evals[0]["scene/strict"] > evals[-1]["scene/strict"] + 0.1


def test_resumed_run_raises_the_same_alarms(hacked):
    """What is left of the run is done again from its last checkpoint; the alarms are read back from metrics.jsonl."""
    before = json.loads((hacked / "result.json").read_text())["alarms"]
    (hacked / "result.json").unlink()
    events = [{k: v for k, v in row.items() if k != "time_s"} for row in rows(hacked / "events.jsonl")]
    done = thalweg("run", hacked / "job.json", "--output", hacked)
    assert done.returncode == 0, done.stderr
    assert json.loads((hacked / "result.json").read_text())["alarms"] == before
    assert [{k: v for k, v in row.items() if k != "time_s"} for row in rows(hacked / "events.jsonl")] == events


def test_the_demo_raises_no_alarm(tmp_path):
    job = shortened("demo", tmp_path, iterations=7, method={"prompts_per_iteration": 6},
                    evaluate={"every": 7, "steps": 10, "pictures": 4, "baselines": []})
    folder = run_job(tmp_path / "run", job)
    assert json.loads((folder / "result.json").read_text())["alarms"] == []
    assert not [row for row in rows(folder / "events.jsonl") if row["level"] == "warn"]
    assert "no alarm" in (folder / "report.html").read_text()


def test_an_unknown_alarm_is_refused(tmp_path):
    job = json.loads((ROOT / "assets" / "jobs" / "demo.json").read_text())
    job["monitors"] = {"reward_hackin": 1}
    path = tmp_path / "job.json"
    path.write_text(json.dumps(job))
    done = validated(path)
    assert done.returncode == 2
    assert done.stderr.startswith("thalweg: /monitors/reward_hackin: ") and "reward_hacking" in done.stderr
