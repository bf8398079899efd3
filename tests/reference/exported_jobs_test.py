"""Exported networks in jobs, beside the same function as a Python reward."""

import json
import sys

import pytest
import torch
from safetensors.torch import save_file

import parity_tool
from clip_folder import random_frames
from exported_folders import folders, processor, tokenizer  # noqa: F401  (fixtures)
from program import run_job, thalweg, write_job

VALUES, GRADIENTS = 1e-6, 1e-5

PYTHON = """import sys
sys.path[:0] = [{here!r}, {root!r}]
import torch
torch.set_num_threads(1)
import exported_networks
module = exported_networks.ready(exported_networks.{kind}())
dimensions = {dimensions!r}
def score(images: torch.Tensor):
    return module(images)
"""


def entries(tmp_path, folders, name):
    folder, module, export = folders(name)
    file = tmp_path / "mine.py"
    here = str(parity_tool.ROOT / "tests/reference")
    file.write_text(PYTHON.format(here=here, root=str(parity_tool.ROOT), kind=type(module).__name__, dimensions=export.dimensions))
    python = {"plugin": "python", "config": {"file": str(file), "interpreter": sys.executable, "gradient": "autograd"},
              "host": {"files": [str(parity_tool.ROOT / "tests"), str(parity_tool.ROOT / "plugins/exported")]}}
    return {"exported": {"plugin": "exported", "config": {"path": str(folder)}}, "mine": python}


def rewards_of(run):
    return [row["reward"] for row in map(json.loads, (run / "scores.jsonl").read_text().splitlines())]


TINY = {"path": str(parity_tool.ROOT / "assets/models/tiny-sd3"), "max_sequence_length": 1}


def test_a_job_scores_as_with_the_python_reward(folders, tmp_path):
    save_file({"frames": random_frames(8, 9, 48, 40)[:, None].contiguous()}, tmp_path / "frames.safetensors")
    both = entries(tmp_path, folders, "group_norm_cnn")
    both["apart"] = {**both["exported"], "isolation": "process", "host": {"memory_gib": 4.0}}  # for folders from strangers
    scored = {name: rewards_of(run_job(tmp_path / name, {"job": "score", "frames": str(tmp_path / "frames.safetensors"),
                                                         "prompts": {"texts": list("abcdefghi")}, "rewards": [entry]}))
              for name, entry in both.items()}
    assert scored["exported"] == pytest.approx(scored["mine"], abs=VALUES) and scored["exported"] == scored["apart"]
    assert len(set(scored["exported"])) == 9


def test_steering_follows_the_same_gradient(folders, tmp_path):
    drawn = {}
    for name, entry in entries(tmp_path, folders, "group_norm_cnn").items():
        job = {"job": "sample", "model": TINY, "prompts": {"texts": ["a red circle", "two blue squares"]},
               "sampler": {"name": "memoryless", "steps": 3, "height": 32, "width": 32},
               "steering": [{"name": "dps", "lambda": 3.0}], "rewards": [entry], "seed": 3}
        drawn[name] = rewards_of(run_job(tmp_path / name, job))
    assert drawn["exported"] == pytest.approx(drawn["mine"], abs=GRADIENTS)


def test_alignment_differentiates_through_it(folders, tmp_path):
    """ReFL on the embedded model: both rewards give the same curve, and it moves."""
    curves, prompts = {}, {}
    for part, shape in (("train", "circle"), ("select", "square"), ("eval", "triangle")):
        prompts[part] = str(tmp_path / f"{part}.txt")
        (tmp_path / f"{part}.txt").write_text("".join(f"a {colour} {shape}\n" for colour in ("red", "green", "blue", "yellow")))
    for name, entry in entries(tmp_path, folders, "group_norm_cnn").items():
        job = {"job": "align", "model": {**TINY, "lora": {"rank": 4, "alpha": 8}}, 
               "prompts": prompts,
               "sampler": {"name": "flow_ode", "steps": 3, "guidance_scale": 1.0, "height": 32, "width": 32,
                           "schedule": {"name": "shifted", "shift": 1.0}}, "rewards": [entry],
               "method": {"name": "refl", "prompts_per_iteration": 4, "first_share": 0.5, "loss": {"name": "linear"}},
               "optimizer": {"name": "adamw", "learning_rate": 5e-3}, "iterations": 3, "seed": 0,
               "evaluate": {"every": 3, "steps": 2, "pictures": 0}}
        run = run_job(tmp_path / name, job)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        curves[name] = [row["reward"] for row in rows if "reward" in row]
    assert len(curves["exported"]) >= 3 and curves["exported"] == pytest.approx(curves["mine"], abs=1e-4)
    assert len(set(curves["exported"])) > 1


def test_mistakes_are_refused_at_their_place(folders, tmp_path):
    folder, _, _ = folders("centre_square")
    for config, place, said in (({"path": "no/such/folder"}, "/rewards/0/config/path", "reward.json"), ({}, "/rewards/0/config/path", "missing"),
                                ({"path": str(folder), "btach": 3}, "/rewards/0/config/btach", "batch"),
                                ({"path": str(folder), "dtype": "int8"}, "/rewards/0/config/dtype", "int8")):
        save_file({"frames": torch.rand(1, 1, 3, 32, 32)}, tmp_path / "one.safetensors")
        job = {"job": "score", "frames": str(tmp_path / "one.safetensors"), "prompts": {"texts": ["a"]}, "output": str(tmp_path / "run"),
               "rewards": [{"plugin": "exported", "config": config}]}
        done = thalweg("run", write_job(tmp_path / "job.json", job))
        assert done.returncode == 2 and place in done.stderr and said in done.stderr, done.stderr
