"""The motion reward through the program: saved videos, drawn here without the world's own code, are told apart, and a
video that is too short is refused with the reason."""

import json

import numpy
import pytest
from program import run_job, thalweg, write_job
from safetensors.numpy import save_file

SIDE = 32
RED, BLUE = (0.9, 0.12, 0.12), (0.1, 0.2, 0.9)
MOTION = [{"plugin": "motion", "dimensions": {"soft": 0.5, "strict": 0.5}}]


def disc(frame, x, y, radius, color):
    """Paints a disc over [3, SIDE, SIDE], its rim one pixel soft."""
    rows, columns = numpy.mgrid[:SIDE, :SIDE] + 0.5
    cover = numpy.clip(radius + 0.5 - numpy.hypot(columns - x, rows - y), 0, 1)
    for channel, value in zip(frame, color):
        channel += cover * (value - channel)


def video(place, frames=9, color=RED):
    """A disc at place(t), (x, y) or None, at the times t = 0 to 1."""
    clip = numpy.full((frames, 3, SIDE, SIDE), 0.97, numpy.float32)
    for frame, t in zip(clip, numpy.linspace(0, 1, frames)):
        if place(t) is not None:
            disc(frame, *place(t), 5, color(t) if callable(color) else color)
    return clip


def score_job(tmp_path, clips, prompts):
    save_file({"frames": numpy.stack(clips)}, tmp_path / "frames.safetensors")
    return {"job": "score", "frames": str(tmp_path / "frames.safetensors"), "rewards": MOTION, "prompts": {"texts": prompts}}


def test_videos_are_told_apart(tmp_path):
    clips = {
        "a red circle moves right": video(lambda t: (10 + 12 * t, 16)),
        "a red circle moves up then left": video(lambda t: (22 - max(0, 18 * t - 9), 22 - min(9, 18 * t))),
        "a red circle vanishes": video(lambda t: (16, 16) if t < 0.5 else None),
        "a red circle turns blue": video(lambda t: (16, 16), color=lambda t: RED if t < 0.5 else BLUE),
        "a red circle stays": video(lambda t: (16, 16)),
    }
    pairs = [(clip, prompt) for clip in clips for prompt in clips]
    run = run_job(tmp_path / "run", score_job(tmp_path, [clips[clip] for clip, _ in pairs], [prompt for _, prompt in pairs]))
    lines = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    assert len(lines) == len(pairs)
    for (clip, prompt), line in zip(pairs, lines):
        assert line["motion/strict"] == float(clip == prompt), (clip, prompt)
        assert (line["motion/soft"] == 1) == (clip == prompt), (clip, prompt)
        assert (line["motion/direction"] is None) == ("moves" not in prompt), prompt


@pytest.mark.parametrize("frames", [1, 4])
def test_a_short_video_is_refused_with_the_reason(tmp_path, frames):
    job = score_job(tmp_path, [video(lambda t: (16, 16), frames)] * 2, ["a red circle stays"] * 2)
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "run")}))
    assert done.returncode == 2
    assert f"a video of {frames} frame" in done.stderr
    assert "takes 5 to 4096" in done.stderr
