"""Schedules against diffusers' FlowMatchEulerDiscreteScheduler, and against the numbers of published runs."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from parity_tool import run

TOLERANCE = 1e-6  # diffusers keeps float32


def ours(scratch, steps, shift=3.0, tokens=1024, rho=7.0, sigma_min=0.002):
    numbers = torch.tensor([steps, shift, tokens, rho, sigma_min], dtype=torch.float64)
    return run("schedules", ".", {"numbers": numbers}, scratch)


def theirs(steps, *, sigmas=None, mu=None, **config):
    scheduler = FlowMatchEulerDiscreteScheduler(**config)
    if sigmas is None:
        scheduler.set_timesteps(steps, mu=mu)
    else:
        scheduler.set_timesteps(sigmas=sigmas, mu=mu)
    return scheduler.sigmas.double()


def uniform(steps):
    return np.linspace(1.0, 1.0 / steps, steps)


@pytest.mark.parametrize("steps", [2, 6, 10, 28])
def test_equal_those_of_diffusers(tmp_path, steps):
    for shift, tokens in ((3.0, 1024), (5.0, 4096), (1.0, 256)):
        schedules = ours(tmp_path, steps, shift, tokens)
        mu = calculate_shift(tokens, 256, 4096, 0.5, 1.15)
        expected = {
            "linear": theirs(steps, sigmas=uniform(steps)),
            "shifted": theirs(steps, sigmas=uniform(steps), shift=shift),
            "sd3": theirs(steps, shift=shift),
            "flux": theirs(steps, sigmas=uniform(steps), mu=mu, use_dynamic_shifting=True),
            "karras": theirs(steps, sigmas=np.linspace(1.0, 0.002, steps), use_karras_sigmas=True),
        }
        for name, sigmas in expected.items():
            assert schedules[name].shape == sigmas.shape, name
            assert (schedules[name] - sigmas).abs().max() < TOLERANCE, name


def test_are_those_of_published_runs(tmp_path):
    flux = ours(tmp_path, 6, tokens=1024)["flux"]
    golden = [1, 0.90374, 0.78970, 0.65249, 0.48422, 0.27300, 0]
    assert torch.allclose(flux, torch.tensor(golden, dtype=torch.float64), rtol=0, atol=1e-5)
    for schedule in ours(tmp_path, 1).values():
        assert schedule.tolist() == [1.0, 0.0]
