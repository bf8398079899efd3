"""The benchmark's Python reward gives the plugin's scores, so that both sides do the same work."""

import json
import pathlib
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / "reference")]

import scene_reward  # noqa: E402
from parity_tool import ROOT  # noqa: E402
from program import run_job  # noqa: E402


@pytest.mark.parametrize("prompts_file", ["eval", "hard_eval"])
def test_same_scores_as_the_plugin(tmp_path, prompts_file):
    job = {"job": "sample", "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1},
           "prompts": {"path": f"assets/prompts/scenes/{prompts_file}.txt", "limit": 48}, "save_frames": True, "save_images": False,
           "sampler": {"name": "flow_ode", "steps": 10, "guidance_scale": 2.0, "height": 64, "width": 64},
           "rewards": [{"plugin": "scene", "dimensions": {"soft": 0.5, "strict": 0.5}}]}
    folder = run_job(tmp_path / "run", job)
    frames = load_file(folder / "frames.safetensors")["frames"][:, 0]
    prompts = (ROOT / f"assets/prompts/scenes/{prompts_file}.txt").read_text().splitlines()[:48]
    expected = [json.loads(line)["reward"] for line in (folder / "scores.jsonl").read_text().splitlines()]
    found = scene_reward.rewards(frames, prompts)
    # A threshold may fall between the float sums of both: one picture in fifty at the most.
    assert (np.abs(found - expected) > 1e-4).sum() <= 1
    assert 0.2 < np.mean(expected) < 0.95
