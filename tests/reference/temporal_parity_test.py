"""The temporal reward against VBench's arithmetic of temporal flickering, on the same 8-bit frames."""

import json

import numpy
import pytest
import torch
from program import run_job
from safetensors.torch import save_file


def theirs(frames_F3HW):
    """As VBench computes it: float32 differences of levels, a mean a pair, and the mean of those."""
    levels = frames_F3HW.mul(255).round().to(torch.uint8).numpy().astype(numpy.float32)
    pairs = [numpy.mean(numpy.abs(now - after)) for now, after in zip(levels, levels[1:])]
    return (255.0 - numpy.mean(pairs).item()) / 255.0


def videos():
    """Noise, a pan over noise, a fade, a still, a cut, black and white in turn: levels / 255."""
    torch.manual_seed(5)
    wide = torch.randint(256, (3, 24, 40)) / 255
    still = wide[:, :, :32].expand(6, 3, 24, 32)
    fade = torch.arange(6).mul(40).div(255)[:, None, None, None].expand_as(still)
    cut = torch.cat([still[:3], torch.randint(256, (1, 3, 24, 32)).expand(3, 3, 24, 32) / 255])
    blink = torch.arange(6).remainder(2).float()[:, None, None, None].expand_as(still)
    return torch.stack([torch.randint(256, (6, 3, 24, 32)) / 255, torch.stack([wide[:, :, f:f + 32] for f in range(6)]),
                        fade, still, cut, blink])


def flickering(folder, frames):
    save_file({"frames": frames.contiguous()}, folder / "frames.safetensors")
    run_job(folder / "run", {"job": "score", "frames": str(folder / "frames.safetensors"),
                             "prompts": {"texts": ["x"] * len(frames)}, "rewards": [{"plugin": "temporal"}]})
    return [json.loads(line)["temporal/temporal_flickering"] for line in (folder / "run/scores.jsonl").read_text().splitlines()]


def test_of_8_bit_frames_it_is_their_number(tmp_path):
    frames = videos()
    expected = [theirs(video) for video in frames]
    assert expected[3] == 1.0 and expected[5] == 0.0 and len(set(expected)) == 6
    assert flickering(tmp_path, frames) == pytest.approx(expected, abs=1e-6)


def test_frames_that_are_not_rounded_differ_by_a_level_at_most(tmp_path):
    torch.manual_seed(6)
    frames = videos() * 0.97 + 0.02 * torch.rand(6, 6, 3, 24, 32)
    ours, expected = numpy.array(flickering(tmp_path, frames)), numpy.array([theirs(video) for video in frames])
    assert 1e-6 < numpy.abs(ours - expected).max() <= 1 / 255
