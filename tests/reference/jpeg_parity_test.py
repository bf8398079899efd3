"""The jpeg reward against the files that Pillow writes, as the peers' rewards measure them."""

import io
import json

import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from program import run_job

SUBSAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
SIZES = [(64, 64), (63, 65), (16, 8), (1, 1), (3, 500), (224, 200)]


def pictures(height, width):
    """Noise, a ramp, flat, black and white, a checkerboard."""
    torch.manual_seed(height * 1000 + width)
    ramp = torch.linspace(0, 1, width).expand(3, height, width) * torch.tensor([1.0, 0.5, 0.2])[:, None, None]
    board = ((torch.arange(height)[:, None] + torch.arange(width)) % 2).float().expand(3, height, width)
    return torch.stack([torch.rand(3, height, width), ramp, torch.full_like(ramp, 0.4), torch.zeros_like(ramp),
                        torch.ones_like(ramp), board])


def pillow_kilobytes(picture, **options):
    levels = (picture * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(numpy.ascontiguousarray(levels)).save(file, format="JPEG", **options)
    return file.tell() / 1000


def scores(folder, frames, configs):
    """[configs][pictures]"""
    save_file({"frames": frames[:, None].contiguous()}, folder / "frames.safetensors")
    run_job(folder / "run", {"job": "score", "frames": str(folder / "frames.safetensors"),
                             "prompts": {"texts": ["x"] * len(frames)},
                             "rewards": [{"plugin": "jpeg", "config": config} for config in configs]})
    lines = [json.loads(line) for line in (folder / "run/scores.jsonl").read_text().splitlines()]
    columns = [[value for name, value in line.items() if name.startswith("jpeg/")] for line in lines]
    assert all(len(row) == len(configs) for row in columns)
    return [list(column) for column in zip(*columns)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_default_is_the_peers_quality_95(size, tmp_path):
    frames = pictures(*size)
    ours, = scores(tmp_path, frames, [{"measure": "incompressibility"}])
    assert ours == pytest.approx([pillow_kilobytes(picture, quality=95) for picture in frames], abs=1e-6)


def test_settings(tmp_path):
    frames = pictures(40, 56)
    settings = [(quality, name) for quality in (1, 50, 100) for name in SUBSAMPLINGS]
    ours = scores(tmp_path, frames, [{"quality": quality, "subsampling": name} for quality, name in settings])
    for (quality, name), column in zip(settings, ours):
        theirs = [-pillow_kilobytes(picture, quality=quality, subsampling=SUBSAMPLINGS[name]) for picture in frames]
        assert column == pytest.approx(theirs, abs=1e-6), (quality, name)
