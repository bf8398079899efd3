"""A plugin that knows nothing of this tree: built with one cc command against the installed headers, named by its path."""

import json
import subprocess

import pytest
import torch
from safetensors.torch import save_file

from parity_tool import ROOT
from program import thalweg, write_job


def job(folder, plugin, **extra):
    torch.manual_seed(0)
    save_file({"frames": torch.rand(3, 1, 3, 8, 8)}, folder / "frames.safetensors")
    return write_job(folder / "job.json", {
        "job": "score", "frames": str(folder / "frames.safetensors"),
        "prompts": {"texts": ["a", "b", "c"]}, "rewards": [{"plugin": str(plugin), **extra}],
        "output": str(folder / "run")})


def built_outside(folder):
    headers = folder / "include"
    headers.mkdir()
    # What `make install` puts under PREFIX/include.
    subprocess.run(["cp", "-r", str(ROOT / "plugins/include/thalweg"), str(headers)], check=True)
    source = folder / "mine.c"
    source.write_text((ROOT / "plugins/template/c/brightness.c").read_text())
    plugin = folder / "mine.so"
    subprocess.run(["cc", "-std=c11", "-shared", "-fPIC", "-O2", f"-I{headers}", str(source), "-o", str(plugin)], check=True)
    return plugin


@pytest.mark.parametrize("extra", [{}, {"isolation": "inproc"}], ids=str)
def test_named_by_path(tmp_path, extra):
    plugin = built_outside(tmp_path)
    run = thalweg("run", job(tmp_path, plugin, **extra))
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in (tmp_path / "run/scores.jsonl").read_text().splitlines()]
    torch.manual_seed(0)
    means = torch.rand(3, 1, 3, 8, 8).mean(dim=(1, 2, 3, 4))
    for line, mean in zip(lines, means):
        assert abs(line["reward"] - mean.item()) < 1e-6
