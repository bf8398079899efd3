"""What a request says of a sample: names and seeds are unique in a run, and say nothing of how the work was cut."""

import json

import pytest
import tiny_sd3
from guidance_test import SDE
from mixtures import LABORATORY
from parity_tool import BUILD
from program import ENVIRONMENT, thalweg, write_job
from workers_test import align_job

ROLLOUT, HELD_OUT, FINAL, STEERING, SCORE = range(1, 6)
NOTES = {"plugin": str(BUILD / "tests/plugins/notes_requests.so"), "isolation": "inproc"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("requests")
    tiny_sd3.make_folder(folder / "model", seed=80)
    (folder / "prompts.txt").write_text("a red circle\ntwo blue squares\n")
    return folder


def noted(folder, job):
    """(call, phase, iteration, step_index, id, seed) of each sample of each call."""
    notes = folder.with_suffix(".notes")
    ENVIRONMENT["THALWEG_NOTES"] = str(notes)
    try:
        done = thalweg("run", write_job(folder.with_suffix(".json"), {**job, "output": str(folder)}))
    finally:
        del ENVIRONMENT["THALWEG_NOTES"]
    assert done.returncode == 0, done.stderr
    return [(line[0], *map(int, line[1:].split())) for line in notes.read_text().splitlines()]


def require_unique(rows):
    scored = [row for row in rows if row[0] == "s"]
    assert len({row[4] for row in scored}) == len({row[5] for row in scored}) == len(scored)
    assert {row[1:] for row in rows if row[0] == "v"} <= {row[1:] for row in scored}


def test_of_a_training_run(files, tmp_path):
    job = align_job(files, "flow_grpo", rewards=[NOTES], iterations=2,
                    evaluate={"every": 1, "steps": 2, "pictures": 0, "baselines": [{"guidance_scale": 2.0}]})
    rows = noted(tmp_path / "run", job)
    require_unique(rows)
    count = {}
    for row in rows:
        count[row[1:3]] = count.get(row[1:3], 0) + 1
        assert row[3] == -1
    assert count == {(ROLLOUT, 0): 16, (ROLLOUT, 1): 16, (HELD_OUT, 0): 2, (HELD_OUT, 1): 2, (HELD_OUT, 2): 2,
                     (FINAL, 2): 6}
    other = noted(tmp_path / "other", {**job, "parallel": {"workers": 2, "lanes": 2, "micro_batch": 3}})
    assert sorted(other) == sorted(rows)


def test_the_fields_of_a_prompt_reach_the_reward(files, tmp_path, monkeypatch):
    """Of all three files of an `align` job, each sample with those of its own prompt."""
    lines = {part: [{"prompt": f"{part} {i}", "answer": {"count": i}, "of": part} for i in range(3)]
             for part in ("train", "select", "eval")}
    for part, prompts in lines.items():
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in prompts))
    notes = tmp_path / "prompts.notes"
    monkeypatch.setitem(ENVIRONMENT, "THALWEG_NOTES_PROMPTS", str(notes))
    job = align_job(files, "flow_grpo", rewards=[NOTES], iterations=3, evaluate={"every": 2, "steps": 2, "pictures": 0},
                    prompts={part: str(tmp_path / f"{part}.jsonl") for part in lines})
    noted(tmp_path / "run", job)
    seen = {}
    for phase, prompt, fields in (line.split("\t") for line in notes.read_text().splitlines()):
        part, number = prompt.split()
        fields = json.loads(fields)
        assert fields["of"] == part and fields["answer"] == {"count": int(number)}
        seen.setdefault((int(phase), part), set()).add(int(number))
    assert seen == {(ROLLOUT, "train"): {0, 1, 2}, (HELD_OUT, "select"): {0, 1, 2}, (FINAL, "eval"): {0, 1, 2}}


def test_of_the_other_jobs(files, tmp_path):
    model = {"model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"texts": ["a", "b"]},
             "rewards": [NOTES]}
    size = {"height": 16, "width": 16}
    rows = noted(tmp_path / "evaluate", {"job": "evaluate", **model, "size": size, "steps": 2,
                                         "guidance": [{"guidance_scale": 1.0}, {"guidance_scale": 2.0}]})
    require_unique(rows)
    assert [row[1:4] for row in rows] == [(HELD_OUT, 0, -1)] * 4
    rows = noted(tmp_path / "sample", {"job": "sample", **model, "sampler": {"steps": 2, **size}, "save_images": True})
    assert [row[1:4] for row in rows] == [(SCORE, 0, -1)] * 2
    score = {"job": "score", "images": str(tmp_path / "sample/samples"), "prompts": {"texts": ["a", "b"]}}
    again = noted(tmp_path / "score", {**score, "rewards": [NOTES]})
    assert again == rows


STEERED = {"particles and a gradient": ([{"name": "fk", "particles": 4, "interval": 2}, {"name": "dps"}], 4),
           "candidates": ([{"name": "svdd", "candidates": 4}], 4),
           "probes": ([{"name": "spsa", "probes": 2}], 0),
           "best of several": ([{"name": "best_of_n", "particles": 4}], 4),
           "weights": ([{"name": "das", "particles": 4}], 4)}


@pytest.mark.parametrize("kind", STEERED)
def test_of_steering(tmp_path, kind):
    """Each state that is scored has its own name; those behind the last step say so."""
    entries, finished = STEERED[kind]
    job = {"job": "sample", "model": {"path": str(LABORATORY / "line")}, "prompts": {"texts": ["", ""]},
           "images_per_prompt": 3, "sampler": {**SDE, "steps": 6}, "steering": entries, "rewards": [NOTES],
           "save_images": False, "parallel": {"micro_batch": 8, "workers": 1}}
    rows = noted(tmp_path / "run", job)
    require_unique(rows)
    assert {row[1] for row in rows} == {STEERING, SCORE}
    calls = [row for row in rows if row[0] == "s"]
    assert [row[3] for row in calls if row[1] == SCORE] == [-1] * 6
    steps = [row[3] for row in calls if row[1] == STEERING]
    assert steps.count(-1) == 6 * finished and set(steps) <= {-1, *range(6)}
    other = noted(tmp_path / "other", {**job, "parallel": {"micro_batch": 24, "workers": 2}})
    assert sorted(other) == sorted(rows)
