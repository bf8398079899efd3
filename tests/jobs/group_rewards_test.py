"""Rewards that compare the samples of a group: they see whole groups, and nobody who has none may ask them."""

import json
import sys

import pytest
import torch
from parity_tool import BUILD
from program import run_job, thalweg, write_job
from resuming import make_files, rows, short_job
from safetensors.torch import save_file
from zoo_test import numbers_of_lora, result

WINS = str(BUILD / "tests/plugins/wins.so")
PYTHON = """
compares_groups = True

def score(frames, group_ids, prompts):
    squares = (frames.astype("float64") ** 2).mean(axis=(1, 2, 3, 4)).astype("float32")
    groups = list(group_ids)
    assert all(groups.index(g) <= i < groups.index(g) + groups.count(g) for i, g in enumerate(groups))
    others = [[b for b in range(len(groups)) if b != a and groups[b] == groups[a]] for a in range(len(groups))]
    return [sum(1.0 if squares[a] > squares[b] else 0.5 * (squares[a] == squares[b]) for b in mine) / len(mine)
            for a, mine in enumerate(others)]
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = make_files(tmp_path_factory.mktemp("groups"))
    torch.manual_seed(0)
    save_file({"frames": torch.rand(12, 1, 3, 8, 8)}, folder / "frames.safetensors")
    (folder / "wins.py").write_text(PYTHON)
    return folder


def refused(done, place, words):
    assert done.returncode == 2, done.stderr
    assert f"thalweg: {place}" in done.stderr and words in done.stderr, done.stderr


def python(files):
    return {"plugin": "python", "config": {"file": str(files / "wins.py"), "interpreter": sys.executable}}


def align(files, reward, method="flow_grpo", **changes):
    job = short_job(files, method, rewards=[reward, {"plugin": "color", "use": "watch"}], iterations=2,
                    evaluate={"every": 2, "metric": "color/redness"}, **changes)
    return job


def test_a_run_compares_whole_groups(files, tmp_path):
    """Two groups of four in micro-batches of three, or eight; as a library in the program and in a process, and in Python."""
    runs = {}
    for name, reward, parallel in [("whole", {"plugin": WINS, "isolation": "inproc"}, {"micro_batch": 8}),
                                   ("process", {"plugin": WINS}, {"micro_batch": 8}),
                                   ("python", python(files), {"micro_batch": 8}),
                                   ("cut", {"plugin": WINS}, {"micro_batch": 3}),
                                   ("cut by two", {"plugin": WINS}, {"micro_batch": 3, "workers": 2})]:
        runs[name] = run_job(tmp_path / name, align(files, reward, parallel=parallel))
        training = [row for row in rows(runs[name] / "metrics.jsonl") if row["kind"] == "train"]
        assert all(row["reward"] == pytest.approx(0.5, abs=1e-6) and row["masked_samples"] == 0 for row in training), name
    assert numbers_of_lora(runs["whole"]) == numbers_of_lora(runs["process"]) == numbers_of_lora(runs["python"])
    assert numbers_of_lora(runs["cut"]) == numbers_of_lora(runs["cut by two"])
    assert result(runs["whole"])["reward_failures"] == []


def score_job(files, reward, batch_size, prompts="aaaabbbbbbcc"):
    return {"job": "score", "frames": str(files / "frames.safetensors"), "prompts": {"texts": list(prompts)}, "rewards": [reward],
            "batch_size": batch_size}


def test_pictures_of_one_prompt_in_a_row_are_a_group(files, tmp_path):
    frames = torch.manual_seed(0) and torch.rand(12, 1, 3, 8, 8)
    squares = frames.double().square().flatten(1).mean(1)
    groups = [range(0, 4), range(4, 10), range(10, 12)]
    expected = [sum(float(squares[a] > squares[b]) for b in mine if b != a) / (len(mine) - 1) for mine in groups for a in mine]
    for reward in ({"plugin": WINS}, python(files)):
        folder = run_job(tmp_path / reward["plugin"][-3:], score_job(files, reward, 12))
        found = [json.loads(line)["reward"] for line in (folder / "scores.jsonl").read_text().splitlines()]
        assert found == pytest.approx(expected, abs=1e-6)
    done = thalweg("run", write_job(tmp_path / "job.json", {**score_job(files, python(files), 5), "output": str(tmp_path / "cut")}))
    refused(done, "/batch_size: ", "picture 5 begins another batch")


def test_one_picture_of_a_prompt_is_compared_with_none(files, tmp_path):
    folder = run_job(tmp_path / "run", score_job(files, {"plugin": WINS}, 12, "aaaabcdddddd"))
    scores = [json.loads(line)["reward"] for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert [i for i, score in enumerate(scores) if score is None] == [4, 5]
    assert [(f["samples"], "2 at least" in f["reason"]) for f in result(folder)["reward_failures"]] == [(2, True)]


def test_who_has_no_groups_is_refused(files, tmp_path):
    wins, model = {"plugin": WINS}, {"path": str(files / "model"), "max_sequence_length": 1}
    sample = {"job": "sample", "model": model, "prompts": {"texts": ["a", "b"]}, "rewards": [wins],
              "sampler": {"name": "flow_sde", "steps": 3, "height": 16, "width": 16}}
    evaluate = {"job": "evaluate", "model": model, "prompts": {"texts": ["a", "b"]}, "size": {"height": 16, "width": 16}, "steps": 2,
                "guidance": [{"guidance_scale": 1.0}], "rewards": [wins], "pictures": 0}
    alone = align(files, wins)
    alone["evaluate"].pop("metric")
    jobs = {"sample": (sample, "/rewards/0: ", "samples are alone"), "evaluate": (evaluate, "/rewards/0: ", "samples are alone"),
            "metric": ({**align(files, wins), "evaluate": {"every": 2, "steps": 2, "metric": "wins/square"}}, "/evaluate/metric: ", "held-out"),
            "sum": (alone, "/evaluate/metric: ", "held-out"),
            "gradient": (align(files, wins, "draft"), "/rewards/0: ", "follows the gradient")}
    for name, (job, place, words) in jobs.items():
        done = thalweg("run", write_job(tmp_path / f"{name}.json", {**job, "output": str(tmp_path / name)}))
        refused(done, place, words)


@pytest.mark.parametrize("value", ["'yes'", "-1", "2.5"])
def test_what_is_no_number_of_samples_is_refused(files, tmp_path, value):
    (tmp_path / "bad.py").write_text(PYTHON.replace("True", value, 1))
    reward = {"plugin": "python", "config": {"file": str(tmp_path / "bad.py"), "interpreter": sys.executable}}
    done = thalweg("run", write_job(tmp_path / "job.json", {**score_job(files, reward, 12), "output": str(tmp_path / "run")}))
    refused(done, "/rewards/0/config/file: ", "compares_groups")
