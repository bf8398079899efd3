"""An output folder belongs to the job that finished in it; one that begins anew leaves no old pictures beside its own."""

import json

import pytest
import tiny_sd3
import torch
from program import thalweg, write_job
from resuming import finish
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folders")
    tiny_sd3.make_folder(folder / "model", seed=80)
    torch.manual_seed(0)
    save_file({"frames": torch.rand(2, 1, 3, 8, 8)}, folder / "frames.safetensors")
    return folder


def sample_job(files, **keys):
    return {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 1},
            "prompts": {"texts": ["a", "b", "c"]}, "sampler": {"steps": 2, "height": 16, "width": 16}, **keys}


def score_job(files, **keys):
    return {"job": "score", "frames": str(files / "frames.safetensors"), "prompts": {"texts": ["a", "b"]},
            "rewards": [{"plugin": "color"}], **keys}


@pytest.mark.parametrize("first,second", [
    (lambda f: sample_job(f), lambda f: sample_job(f, seed=1)), (lambda f: score_job(f), lambda f: score_job(f, seed=1)),
    (lambda f: sample_job(f), lambda f: score_job(f)),
])
def test_results_of_another_job_are_not_replaced(first, second, files, tmp_path):
    folder = tmp_path / "run"
    finish(folder, first(files))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    path = write_job(tmp_path / "job.json", {**second(files), "output": str(folder)})
    for command in ("validate", "run"):
        done = thalweg(command, path)
        assert done.returncode == 2
        assert f"/output: {folder} holds the results of another job: /" in done.stderr, done.stderr
        assert "choose another output folder or remove this one" in done.stderr
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_same_job_begins_anew_without_the_old_pictures(files, tmp_path):
    """The prompts are a file, which has become shorter: the job's text is the same."""
    prompts, folder = tmp_path / "prompts.txt", tmp_path / "run"
    prompts.write_text("a\nb\nc\n")
    job = sample_job(files, prompts={"path": str(prompts)})
    finish(folder, job)
    (folder / "samples/mine.txt").write_text("not of the program")
    prompts.write_text("a\n")
    finish(folder, job)
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["00000.png", "mine.txt"]
    assert json.loads((folder / "result.json").read_text())["samples"] == 1


def test_a_job_that_came_to_nothing_gives_way(files, tmp_path):
    folder = tmp_path / "run"
    finish(folder, sample_job(files))
    (folder / "result.json").write_text('{"status": "failed"}')
    finish(folder, score_job(files))
    assert not (folder / "samples").exists() and not (folder / "grid.png").exists()
    assert json.loads((folder / "job.json").read_text())["job"] == "score"


def test_pictures_that_the_job_scores_stay(files, tmp_path):
    folder = tmp_path / "run"
    finish(folder, sample_job(files))
    (folder / "result.json").unlink()
    job = score_job(files, images=str(folder / "samples"), prompts={"texts": ["a", "b", "c"]})
    del job["frames"]
    finish(folder, job)
    assert len(list((folder / "samples").glob("0*.png"))) == 3
