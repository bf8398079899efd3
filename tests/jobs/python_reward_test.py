"""Rewards that are functions in a Python file: their forms, their failures, and their gradients."""

import json
import os
import sys

import pytest
import tiny_sd3
import torch
from parity_tool import BUILD
from program import run_job, thalweg, write_job
from safetensors.torch import save_file
from zoo_test import result, score_job

FRAMES = (5, 1, 3, 8, 8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("python")
    tiny_sd3.make_folder(folder / "model", seed=81)
    torch.manual_seed(0)
    save_file({"frames": torch.rand(FRAMES)}, folder / "frames.safetensors")
    return folder


def frames():
    torch.manual_seed(0)
    return torch.rand(FRAMES)


def reward(folder, text, **config):
    file = folder / "mine.py"
    file.write_text(text)
    return {"plugin": "python", "config": {"file": str(file), "interpreter": sys.executable, **config}}


def job_of(files, tmp_path, text, **config):
    return {**score_job(files, reward(tmp_path, text, **config), output=str(tmp_path / "run")), "prompts": {"texts": list("abcde")}}


def scored(files, tmp_path, text, **config):
    folder = run_job(tmp_path / "run", job_of(files, tmp_path, text, **config))
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()], folder


def refused(files, tmp_path, text, command="run", **config):
    done = thalweg(command, write_job(tmp_path / "job.json", job_of(files, tmp_path, text, **config)))
    assert done.returncode == 2, done.stderr
    return done.stderr


FORMS = {
    "numpy": "def score(frames):\n    return frames.mean(axis=(1, 2, 3, 4))\n",
    "list": "def score(frames, prompts):\n    return [float(f.mean()) for f in frames]\n",
    "torch": "import torch\ndef score(frames: torch.Tensor, prompts):\n    return frames.mean(dim=(1, 2, 3, 4))\n",
    "column": "def score(frames):\n    return frames.mean(axis=(1, 2, 3, 4))[:, None]\n",
    "object": "dimensions = ['mean']\ndef score(frames):\n    return {'mean': frames.mean(axis=(1, 2, 3, 4)), 'more': [0] * len(frames)}\n",
    "flow_grpo": "import torch\ndef score(images, prompts, metadata, only_strict):\n    assert isinstance(images, torch.Tensor)\n"
                 "    return images.mean(dim=(1, 2, 3)), {}\n",
    "factory": "def score(device):\n    def fn(images, prompts, metadata):\n        return {'avg': images.mean(dim=(1, 2, 3)).tolist()}, {}\n"
               "    return fn\ndimensions = ['avg']\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_functions(files, tmp_path, form):
    rows, _ = scored(files, tmp_path, FORMS[form])
    for row, mean in zip(rows, frames().mean(dim=(1, 2, 3, 4)).tolist()):
        assert abs(row["reward"] - mean) < 1e-6
    name = {"object": "mean", "factory": "avg"}.get(form, "score")
    assert f"mine/{name}" in rows[0]


def test_pictures_as_bytes_and_as_pillow_has_them(files, tmp_path):
    bytes_of = "def score(images):\n    assert images.dtype == 'uint8' and images.shape == (5, 8, 8, 3)\n    return images.mean(axis=(1, 2, 3))\n"
    pillow = ("from PIL import Image\nimport numpy\ndef score(images: list[Image.Image]):\n"
              "    return [numpy.asarray(picture).mean() for picture in images]\n")
    expected = (frames() * 255).round().mean(dim=(1, 2, 3, 4)).tolist()
    for text in (bytes_of, pillow):
        rows, _ = scored(files, tmp_path, text)
        assert [row["reward"] for row in rows] == pytest.approx(expected, rel=1e-6)


def test_prompts_seeds_and_several_dimensions(files, tmp_path):
    text = ("dimensions = ['letter', 'number']\ndef score(prompts, sample_ids, metadata, step_index):\n"
            "    assert step_index == -1 and metadata == [{}] * len(prompts)\n"
            "    return [[ord(p), len(set(sample_ids))] for p in prompts]\n")
    rows, folder = scored(files, tmp_path, text)
    assert [row["mine/letter"] for row in rows] == [ord(p) for p in "abcde"]
    assert {row["mine/number"] for row in rows} == {5.0}
    assert list(result(folder)["rewards"]) >= ["mine/letter"]


def test_a_text_says_why_a_sample_is_not_scored(files, tmp_path):
    rows, folder = scored(files, tmp_path, "dimensions = ['a', 'b']\ndef score(prompts):\n"
                          "    return {'a': [1.0, 'no face', '2.5', 'no face', None], 'b': [1, 2, 'too dark', 4, 5]}\n")
    assert [row["mine/a"] for row in rows] == [1.0, None, 2.5, None, None]
    assert [row["mine/b"] for row in rows] == [1, 2, None, 4, 5]
    reasons = {entry["reason"]: entry["samples"] for entry in result(folder)["reward_failures"]}
    assert reasons == {'did not score "a": no face': 2, 'returned None or NaN for "a"': 1}  # "b" has no weight


def test_none_nan_and_exceptions_are_not_scored(files, tmp_path):
    rows, folder = scored(files, tmp_path, "def score(prompts):\n    return [1.0, None, float('nan'), float('inf'), 2.0]\n")
    assert [row["reward"] for row in rows] == [1.0, None, None, None, 2.0]
    reasons = {entry["reason"]: entry["samples"] for entry in result(folder)["reward_failures"]}
    assert reasons == {'returned None or NaN for "score"': 2, 'returned an infinite value for "score"': 1}
    text = "def score(prompts):\n    if prompts[0] == 'a':\n        raise ValueError('no circles today')\n    return [1.0] * len(prompts)\n"
    job = {**job_of(files, tmp_path, text), "batch_size": 2, "output": str(tmp_path / "raised")}
    folder = run_job(tmp_path / "raised", job)
    (entry,) = result(folder)["reward_failures"]
    assert entry["reason"] == "raised ValueError: no circles today (mine.py, line 3)" and entry["samples"] == 2


def test_a_wrong_number_of_values_is_no_score(files, tmp_path):
    text = "def score(prompts):\n    return [1.0] * (2 if prompts[0] == 'a' else len(prompts))\n"
    folder = run_job(tmp_path / "run", {**job_of(files, tmp_path, text), "batch_size": 3})
    (entry,) = result(folder)["reward_failures"]
    assert "must have one value a sample, 3" in entry["reason"] and entry["samples"] == 3


def test_a_worker_that_dies_and_one_that_hangs(files, tmp_path):
    text = "import os, time\ndef score(prompts):\n    if prompts[0] == 'a':\n        {how}\n    return [1.0] * len(prompts)\n"
    for how, why in (("os.abort()", "died of SIGABRT in score"), ("os._exit(3)", "ended by itself with exit code 3 in score"),
                     ("time.sleep(100)", "did not return within 12 s, and died of SIGKILL in score")):
        job = {**job_of(files, tmp_path, text.format(how=how)), "batch_size": 2}
        job["rewards"][0]["host"] = {"call_seconds": 12.0}
        folder = run_job(tmp_path / how[:6], job)
        (entry,) = result(folder)["reward_failures"]
        assert entry["reason"] == "its process " + why and entry["samples"] == 2
        assert [json.loads(line)["reward"] for line in (folder / "scores.jsonl").read_text().splitlines()] == [None, None, 1, 1, 1]


def test_what_it_prints_stays_off_standard_output(files, tmp_path):
    done = thalweg("run", write_job(tmp_path / "job.json", job_of(
        files, tmp_path, "print('hello from the file')\ndef score(prompts):\n    print('and from a call')\n    return [1.0] * len(prompts)\n")))
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stderr and "from a call" in done.stderr and "from a call" not in done.stdout


MISTAKES = {
    "/config/file": [("def score(prompts): return 0\n", {"file": "absent.py"}, "there is no file"),
                     ("def score(:\n", {}, "SyntaxError"), ("import nothing_like_it\n", {}, "nothing_like_it")],
    "/config/function": [("def other(prompts): return 0\n", {"function": "another"}, "no function"),
                         ("def score(prompts, colour): return 0\n", {}, '"colour"'),
                         ("def score(): return 3\n", {}, "neither frames nor prompts")],
    "/config/dimensions": [("def score(prompts): return 0\n", {"dimensions": [3]}, "must be names")],
    "/config/fucntion": [("def score(prompts): return 0\n", {"fucntion": "score"}, "not known")],
    "/config/gradient": [("def score(prompts): return 0\n", {"gradient": "autograd"}, "frames")],
}


@pytest.mark.parametrize("place", MISTAKES)
def test_mistakes_are_refused_at_their_place(files, tmp_path, place):
    for text, config, said in MISTAKES[place]:
        stderr = refused(files, tmp_path, text, **config)
        assert f"/rewards/0{place}" in stderr and said in stderr, stderr


def test_an_interpreter_that_is_not_there(files, tmp_path):
    assert "/no/such/python" in refused_by_machine(files, tmp_path, "/no/such/python")


def refused_by_machine(files, tmp_path, interpreter):
    done = thalweg("run", write_job(tmp_path / "job.json", job_of(files, tmp_path, FORMS["numpy"], interpreter=interpreter)))
    assert done.returncode in (1, 2)
    return done.stderr


GRADIENTS = {
    "autograd": (("import torch\ndef score(frames: torch.Tensor):\n"
                  "    return frames[:, :, 0].mean(dim=(1, 2, 3)) - frames[:, :, 1:].mean(dim=(1, 2, 3, 4))\n"), "autograd"),
    "slope": (("import numpy\ndef score(frames):\n"
               "    return frames[:, :, 0].mean(axis=(1, 2, 3)) - frames[:, :, 1:].mean(axis=(1, 2, 3, 4))\n"
               "def slope(frames, cotangent):\n    g = numpy.zeros_like(frames)\n    n = frames[0, :, 0].size\n"
               "    g[:, :, 0] = 1 / n\n    g[:, :, 1:] = -0.5 / n\n    return g * cotangent[:, :1, None, None, None]\n"), "slope"),
}


@pytest.mark.parametrize("kind", GRADIENTS)
def test_gradients_steer_as_those_of_a_library(files, tmp_path, kind):
    """color.so's redness is the same function."""
    text, gradient = GRADIENTS[kind]
    drawn = []
    for name, entry in (("library", {"plugin": str(BUILD / "plugins/color.so")}), ("python", reward(tmp_path, text, gradient=gradient))):
        job = {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"texts": ["a", "b"]},
               "sampler": {"name": "memoryless", "steps": 4, "height": 16, "width": 16},
               "steering": [{"name": "dps", "lambda": 20.0}], "rewards": [entry], "seed": 3}
        folder = run_job(tmp_path / name, job)
        drawn.append([row["reward"] for row in map(json.loads, (folder / "scores.jsonl").read_text().splitlines())])
    assert drawn[0] == pytest.approx(drawn[1], abs=1e-4)
