"""Folders of prompts as flow_grpo lays them out: small copies of its two kinds."""

import json
import sys

import pytest
from job_errors_test import assert_refused
from laboratory import LINE
from mixtures import LABORATORY
from program import run_job, thalweg, validated, write_job

RED = [{"plugin": "color", "config": {"channel": "red"}}]
# GenEval's metadata, all of its keys.
GENEVAL = [
    {"tag": "counting", "include": [{"class": "bench", "count": 2}], "exclude": [{"class": "bench", "count": 3}],
     "prompt": "a photo of two benches"},
    {"tag": "color_attr", "include": [{"class": "cup", "count": 1, "color": "red"}, {"class": "dog", "count": 1,
     "color": "blue"}], "prompt": "a photo of a red cup and a blue dog"},
    {"tag": "position", "include": [{"class": "dog", "count": 1}, {"class": "tie", "count": 1,
     "position": ["right of", 0]}], "prompt": " a photo of a tie right of a dog"},
]


def job_of(folder, **prompts):
    return {"job": "align", "model": {"path": str(LABORATORY / "line")}, "rewards": RED, "iterations": 1,
            "prompts": {"folder": str(folder), **prompts}, "sampler": {"name": "flow_ode", "steps": 2, **LINE},
            "method": {"name": "diffusion_nft", "prompts_per_iteration": 2, "group_size": 2, "times_per_sample": 1},
            "evaluate": {"every": 1, "steps": 1, "pictures": 0}, "parallel": {"workers": 1}, "output": ""}


def text_folder(folder):
    folder.mkdir()
    (folder / "train.txt").write_bytes('a red "cup" \n\ta dog\r\n  two words \u00a0\u3000\n\x1ca sign that says \u00e9t\u00e9\x1f'.encode())
    (folder / "test.txt").write_bytes(b"a held-out cup\nanother one\n")
    return folder


def geneval_folder(folder):
    folder.mkdir()
    for split, lines in [("train", GENEVAL), ("test", GENEVAL[:2])]:
        (folder / f"{split}_metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def theirs(folder, split):
    """Prompts as flow_grpo's TextPromptDataset and GenevalPromptDataset have them."""
    text, metadata = folder / f"{split}.txt", folder / f"{split}_metadata.jsonl"
    if text.exists():
        with open(text, encoding="utf-8") as file:
            return [line.strip() for line in file.readlines()]
    with open(metadata, encoding="utf-8") as file:
        return [json.loads(line)["prompt"] for line in file]


READER = """
import json
def score(prompts, metadata):
    with open({told!r}, "a") as file:
        file.writelines(json.dumps(pair) + "\\n" for pair in zip(prompts, metadata))
    return [0.0] * len(prompts)
"""


@pytest.mark.parametrize("make", [text_folder, geneval_folder])
def test_rewards_are_told_the_prompts_as_flow_grpo_reads_them(make, tmp_path):
    folder, told = make(tmp_path / "prompts"), tmp_path / "told.jsonl"
    (tmp_path / "reader.py").write_text(READER.format(told=str(told)))
    told.touch()
    reader = {"plugin": "python", "use": "watch", "config": {"file": str(tmp_path / "reader.py"), "interpreter": sys.executable},
              "host": {"writable": [str(told)]}}
    job = job_of(folder) | {"rewards": [*RED, reader]}
    train = theirs(folder, "train")
    job["method"]["prompts_per_iteration"] = len(train)  # each once
    run_job(tmp_path / "run", job)
    seen = [json.loads(line) for line in told.read_text().splitlines()]
    tested = theirs(folder, "test")
    texts = [text for text, _ in seen]
    assert set(texts) == {*train, *tested}
    drawn = {text: texts.count(text) for text in train if text not in tested}
    assert drawn == dict.fromkeys(drawn, job["method"]["group_size"])
    if make is geneval_folder:
        assert {text: metadata for text, metadata in seen} == {line["prompt"]: line for line in GENEVAL}


@pytest.mark.parametrize("make", [text_folder, geneval_folder])
def test_a_folder_stands_for_the_files_that_are_not_named(make, tmp_path):
    folder = make(tmp_path / "prompts")
    run = run_job(tmp_path / "run", job_of(folder))
    assert json.loads((run / "job.json").read_text())["prompts"] == {"folder": str(folder)}
    result = json.loads((run / "result.json").read_text())
    tested = theirs(folder, "test")
    assert result["eval"]["reward"]["n"] == len(tested)
    assert result["checkpoint"]["on"].startswith("test")  # without the machine's path
    assert f"{len(tested)} of the {len(tested)} of /prompts/eval are in /prompts/select" in result["prompts_shared"]
    # The other files may be given; and what is trained on is `train`'s own.
    (tmp_path / "mine.txt").write_text("one of mine\n")
    mine = {"select": str(tmp_path / "mine.txt"), "eval": str(tmp_path / "mine.txt")}
    run = run_job(tmp_path / "mine", job_of(folder, **mine))
    assert json.loads((run / "result.json").read_text())["eval"]["reward"]["n"] == 1


def test_a_run_goes_on_from_a_folder_that_moved_and_not_from_another(tmp_path):
    folder = text_folder(tmp_path / "prompts")
    run = run_job(tmp_path / "run", job_of(folder))
    folder.rename(tmp_path / "moved")
    job = {**job_of(tmp_path / "moved"), "iterations": 2, "output": str(run)}
    (tmp_path / "moved" / "unread.txt").write_text("x")
    assert thalweg("run", write_job(tmp_path / "job.json", job)).returncode == 0
    (tmp_path / "moved" / "train.txt").write_text("another\n")
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "iterations": 3}))
    assert_refused(done, "/prompts/folder: ", "train.txt has changed")


def refused(tmp_path, prompts, place, words):
    job = job_of("x") | {"prompts": prompts, "output": str(tmp_path / "refused")}
    assert_refused(validated(write_job(tmp_path / "job.json", job)), place, words)


def test_what_is_no_such_folder_is_refused(tmp_path):
    folder = text_folder(tmp_path / "prompts")
    mine = str(folder / "train.txt")
    refused(tmp_path, {}, "/prompts/train: ", "is missing: a file of prompts. In its place /prompts/folder")
    refused(tmp_path, {"train": mine, "eval": mine}, "/prompts/select: ", "is missing")
    refused(tmp_path, {"folder": str(tmp_path / "nowhere")}, "/prompts/folder: ", "is no folder")
    refused(tmp_path, {"folder": mine}, "/prompts/folder: ", "is no folder")
    refused(tmp_path, {"folder": str(tmp_path)}, "/prompts/folder: ", "holds neither train.txt nor train_metadata.jsonl")
    refused(tmp_path, {"train": str(folder), "select": mine, "eval": mine}, "/prompts/train: ", "is a folder; name a file")
    refused(tmp_path, {"folder": str(folder), "train": mine, "select": mine, "eval": mine}, "/prompts/folder: ",
            "is read by nothing")
    (folder / "test_metadata.jsonl").write_text('{"prompt": "a"}\n')
    refused(tmp_path, {"folder": str(folder)}, "/prompts/folder: ", "holds both test.txt and test_metadata.jsonl")
    (folder / "test.txt").unlink()
    (folder / "test_metadata.jsonl").write_text('{"caption": "a"}\n')
    refused(tmp_path, {"folder": str(folder)}, str(folder / "test_metadata.jsonl"), 'must be an object with a text "prompt"')
    (folder / "train.txt").write_text(" \n")
    refused(tmp_path, {"folder": str(folder)}, "/prompts/folder: ", "train.txt holds no prompt")
