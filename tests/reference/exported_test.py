"""Exported networks through the plugin, against eager PyTorch."""

import json
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

import exported_networks
import parity_tool
from clip_folder import PROMPTS, random_frames
from exported_folders import folders, processor, tokenizer  # noqa: F401  (fixtures)
from exported_networks import NETWORKS, PROVENANCE, ready
from program import PROGRAM, thalweg

from export_reward import Export, export_reward
from exported_goldens import processed

VALUES, GRADIENTS = 1e-6, 1e-5
PLUGIN = parity_tool.BUILD / "plugins/exported.so"
SIZES = [(1, 64, 48), (3, 40, 80), (5, 33, 33), (11, 17, 100)]


def reward(scratch, config, frames, prompts, cotangent=None):
    """The finished process of tests/reward, and what it wrote. frames: [B,F,3,H,W]."""
    inputs = {"frames": frames.contiguous()} | ({} if cotangent is None else {"cotangent": cotangent})
    save_file(inputs, scratch / "in.safetensors")
    (scratch / "call.json").write_text(json.dumps({"config": config, "prompts": prompts}))
    target = scratch / "out.safetensors"
    target.unlink(missing_ok=True)
    done = subprocess.run([parity_tool.BUILD / "tests/reward", PLUGIN, scratch / "call.json", scratch / "in.safetensors", target],
                          capture_output=True, text=True, timeout=300)
    return done, load_file(target) if target.exists() else {}


def eager(export, frames, prompts, cotangent):
    """Values [B,K] and gradient of the module itself, for frames [B,F,3,H,W]."""
    x = frames.clone().requires_grad_(True)
    count = frames.shape[1]
    rows = x if export.kind == "videos" else x.flatten(0, 1)
    if export.preprocess != "graph":
        rows = processed(export, rows)
    texts = export.tokens([p for p in prompts for _ in range(1 if export.kind == "videos" else count)]) if export.tokenizer else []
    values = export.module(rows, *texts)
    if export.kind != "videos":
        values = values.view(frames.shape[0], count, -1).mean(1)
    (values * cotangent).sum().backward()
    return values.detach(), x.grad


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_gradients_are_those_of_eager(name, size, folders, tmp_path):
    folder, module, export = folders(name)
    batch, height, width = size
    count = 3 if export.kind == "videos" else 2 if batch == 3 else 1
    frames = random_frames(batch, batch * count, height, width).view(batch, count, 3, height, width)
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(batch)]
    cotangent = torch.randn(batch, len(export.dimensions), generator=torch.Generator().manual_seed(2))
    values, gradient = eager(export, frames, prompts, cotangent)
    done, ours = reward(tmp_path, {"path": str(folder)}, frames, prompts, cotangent)
    assert done.returncode == 0, done.stderr
    smooth = 2e-6 if export.preprocess == "smooth" else VALUES  # two ways to resize
    assert parity_tool.max_error(ours["values"], values) <= smooth
    scale = gradient.abs().max().item()
    assert scale > 0 and parity_tool.max_error(ours["gradient"], gradient) <= min(GRADIENTS, 1e-3 * scale)


def test_exact_preprocessing_is_transformers_bit_for_bit(processor, tmp_path):
    module = ready(exported_networks.Tower(), 4)
    arguments = {**PROVENANCE, "preprocess": "exact", "processor": str(processor)}
    export_reward(module, tmp_path / "tower", program=str(PROGRAM), **arguments)
    frames = (random_frames(3, 4, 50, 41) * 255).round() / 255
    done, ours = reward(tmp_path, {"path": str(tmp_path / "tower")}, frames[:, None], [""] * 4)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        theirs = module(processed(Export(module, **arguments), frames))
    assert parity_tool.max_error(ours["values"], theirs) <= VALUES
    done, _ = reward(tmp_path, {"path": str(tmp_path / "tower")}, frames[:, None], [""] * 4, torch.ones(4, 1))
    assert done.returncode == 2 and "no gradient" in done.stderr


def test_one_row_at_a_time_does_not_depend_on_the_batch(folders, tmp_path):
    folder, _, _ = folders("clip_like")
    frames = random_frames(5, 6, 40, 40)[:, None]
    prompts = [PROMPTS[i % 4] for i in range(6)]
    config = {"path": str(folder), "batch": 1}
    _, together = reward(tmp_path, config, frames, prompts)
    for i in (0, 4):
        _, alone = reward(tmp_path, config, frames[i:i + 1], prompts[i:i + 1])
        assert torch.equal(alone["values"], together["values"][i:i + 1])
    _, by_eight = reward(tmp_path, {"path": str(folder)}, frames, prompts)
    assert parity_tool.max_error(by_eight["values"], together["values"]) <= VALUES


def test_another_dtype_than_it_was_exported_in(folders, tmp_path):
    """Weights, frames and dtypes in the graph become bfloat16; the scores come back as float32."""
    folder, _, _ = folders("group_norm_cnn")
    frames, prompts = random_frames(6, 4, 40, 40)[:, None], PROMPTS
    _, single = reward(tmp_path, {"path": str(folder)}, frames, prompts, torch.ones(4, 2))
    done, half = reward(tmp_path, {"path": str(folder), "dtype": "bfloat16"}, frames, prompts, torch.ones(4, 2))
    assert done.returncode == 0, done.stderr
    for what, tolerance in (("values", 0.02), ("gradient", 0.1)):
        scale = single[what].abs().max().item()
        assert 0 < parity_tool.max_error(half[what], single[what]) <= tolerance * scale
    folder, _, _ = folders("clip_like")  # the resize has no kernel in bfloat16: that is said, by node
    done, _ = reward(tmp_path, {"path": str(folder), "dtype": "bfloat16"}, frames, prompts)
    assert done.returncode == 2 and "(aten::_upsample_bicubic2d_aa.vec)" in done.stderr, done.stderr


def test_sizes_it_was_not_exported_for_are_refused(folders, tmp_path):
    folder, _, _ = folders("clip_like")
    done, _ = reward(tmp_path, {"path": str(folder)}, torch.rand(1, 1, 3, 8, 40), ["a"])
    assert done.returncode == 2 and "pictures of 8 x 40" in done.stderr and "16 to 1024" in done.stderr, done.stderr
    folder, _, _ = folders("flicker")
    done, _ = reward(tmp_path, {"path": str(folder)}, torch.rand(1, 17, 3, 32, 32), ["a"])
    assert done.returncode == 2 and "videos of 17 frames" in done.stderr, done.stderr


def test_a_sample_without_numbers_spoils_no_other(folders, tmp_path):
    folder, _, _ = folders("group_norm_cnn")
    frames = random_frames(7, 3, 32, 32)[:, None].contiguous()
    _, clean = reward(tmp_path, {"path": str(folder)}, frames[[0, 2]], ["a"] * 2)
    frames[1, 0, 0, 0, 0] = float("nan")
    done, ours = reward(tmp_path, {"path": str(folder)}, frames, ["a"] * 3)
    assert done.returncode == 0, done.stderr
    assert torch.equal(ours["values"][[0, 2]], clean["values"]) and ours["values"][1].isnan().all()


@pytest.mark.parametrize("name", ["clip_like", "group_norm_cnn", "small_vit", "flicker"])
def test_the_validator_finds_nothing(name, folders):
    folder, _, export = folders(name)
    frames = ["--frames", "4"] if export.kind == "videos" else []
    done = thalweg("plugins", "--validate", PLUGIN, "--config", json.dumps({"path": str(folder)}), "--height", "40", "--width", "36",
                   *frames, "--json")
    report = json.loads(done.stdout)
    broken = [clause for clause in report["clauses"] if clause["outcome"] == "failed"]
    assert done.returncode == 0 and broken == [], broken
    clauses = {clause["clause"]: clause["outcome"] for clause in report["clauses"]}
    assert clauses["gradient.finite-differences"] == "ok" and clauses["score.nan-input"] == "ok"
