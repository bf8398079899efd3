"""A reward that is away for a while: its samples are masked, the run is paused or stopped, and goes on to the same end."""

import json
import sys

import pytest
from program import validated, write_job
from resuming import checkpoint_steps, finish, make_files, rows, short_job, start
from zoo_test import numbers_of_lora

# Away from the eighth call on, which is the second one of iteration 3, until the file "back" is there.
REWARD = '''
import pathlib
HERE = pathlib.Path(__file__).parent

def score(frames):
    with open(HERE / "calls", "a") as calls:
        calls.write("x")
    if len((HERE / "calls").read_text()) > 7 and not (HERE / "back").exists():
        raise ConnectionError("nobody answers")
    return frames.mean(axis=(1, 2, 3, 4))
'''


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("failed"))


def job_of(files, folder, back=False, **section):
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(REWARD)
    if back:
        (folder / "back").touch()
    reward = {"plugin": "python", "config": {"file": str(folder / "mine.py"), "interpreter": sys.executable},
              "host": {"writable": [str(folder)]}}
    return short_job(files, "flow_grpo", rewards=[reward], checkpoint={"every": 100}, failed_rewards=section)


def ended(folder, job):
    process = start(folder, job)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said, json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("policy,code", [("pause", 3), ("stop", 1)])
def test_a_run_without_its_reward_waits_for_it(files, tmp_path, policy, code):
    whole = job_of(files, tmp_path / "whole", back=True)
    finish(tmp_path / "whole/run", whole)
    job, folder = job_of(files, tmp_path / "away", policy=policy, min_valid_fraction=0.6), tmp_path / "away/run"
    for words in ("mine/score has a value for 4 of 8 samples of the rollout", "not one sample of the rollout was scored"):
        returned, said, result = ended(folder, job)
        assert returned == code, said
        assert words in said
        assert checkpoint_steps(folder) == [2]  # of this moment
        assert len([row for row in rows(folder / "metrics.jsonl") if row["kind"] == "train"]) == 2
    if policy == "pause":
        assert result["status"] == "stopped" and "nobody answers" in result["paused"]
        assert "run the same command to go on" in said
    else:
        assert result["status"] == "failed" and result["error"]["param"] == "/rewards"
    (tmp_path / "away/back").touch()
    assert "resuming at iteration 2" in finish(folder, job)
    assert rows(folder / "metrics.jsonl") == rows(tmp_path / "whole/run/metrics.jsonl")
    assert numbers_of_lora(folder) == numbers_of_lora(tmp_path / "whole/run")
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["type"] == "paused"] == [3, 3]
    assert "nobody answers" in (folder / "report.html").read_text()


def test_masks_where_asked_to_until_nothing_is_left(files, tmp_path):
    job, folder = job_of(files, tmp_path / "away", policy="mask", min_valid_fraction=0.9), tmp_path / "away/run"
    returned, said, result = ended(folder, job)
    assert returned == 3, said  # iteration 3 learned from half of its samples, iteration 4 had none
    assert "not one sample of the rollout was scored" in result["paused"]
    trained = [row for row in rows(folder / "metrics.jsonl") if row["kind"] == "train"]
    assert [row["masked_samples"] for row in trained] == [0, 0, 4]


def test_a_reward_that_never_was_there_is_a_mistake(files, tmp_path):
    job = job_of(files, tmp_path / "away")
    (tmp_path / "away/calls").write_text("x" * 7)
    returned, said, _ = ended(tmp_path / "away/run", job)
    assert returned == 2 and "nobody answers" in said


@pytest.mark.parametrize("section,pointer", [({"min_valid_fraction": 1.5}, "/failed_rewards/min_valid_fraction"),
                                             ({"policy": "wait"}, "/failed_rewards/policy"), ({"share": 1}, "/failed_rewards/share")])
def test_what_is_not_a_policy_is_refused(files, tmp_path, section, pointer):
    job = {**job_of(files, tmp_path / "away", **section), "output": str(tmp_path / "run")}
    done = validated(write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and pointer in done.stderr
