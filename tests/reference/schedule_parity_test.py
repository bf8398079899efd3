"""Schedules against diffusers' FlowMatchEulerDiscreteScheduler, and against the numbers of published runs."""

import json

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


# What a model's scheduler_config.json may say. Keys of no constructor ("sigma_min") diffusers takes from the file too.
CONFIGS = {
    "plain": {},
    "shift": dict(shift=3.0),
    "small_shift": dict(shift=0.17, num_train_timesteps=400),
    "dynamic": dict(use_dynamic_shifting=True, shift=7.0),
    "dynamic_linear": dict(use_dynamic_shifting=True, time_shift_type="linear", base_shift=0.9, max_shift=4.0),
    "dynamic_other_sizes": dict(use_dynamic_shifting=True, base_shift=-0.5, max_shift=0.3, base_image_seq_len=64,
                                max_image_seq_len=9000, num_train_timesteps=700),
    "terminal": dict(shift=3.0, shift_terminal=0.1),
    "terminal_zero": dict(shift=3.0, shift_terminal=0.0),
    "dynamic_terminal": dict(use_dynamic_shifting=True, shift_terminal=0.02),
    "karras": dict(shift=3.0, use_karras_sigmas=True),
    "exponential": dict(shift=3.0, use_exponential_sigmas=True),
    "beta": dict(shift=3.0, use_beta_sigmas=True),
    "dynamic_beta": dict(use_dynamic_shifting=True, use_beta_sigmas=True),
    "dynamic_karras_terminal": dict(use_dynamic_shifting=True, use_karras_sigmas=True, shift_terminal=0.05),
    "bounded_karras": dict(use_karras_sigmas=True, sigma_min=0.01, sigma_max=0.9),
    "bounded_exponential": dict(use_exponential_sigmas=True, sigma_min=0.02),
    "unheeded": dict(shift=2.0, sigma_min=0.3, flow_shift=9.0, unknown="x", max_shift=5.0),
}


CASES = [(steps, tokens) for steps in (1, 2, 5, 28) for tokens in (64, 1024, 4096)]


def levels_of(folder, config):
    (folder / "scheduler_config.json").write_text(
        json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler", **config}))
    levels = run("flow-match", folder, {"numbers": torch.tensor(CASES)}, folder)
    return [levels[str(i)] for i in range(len(CASES))]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_models_scheduler_is_read_as_diffusers_reads_it(name, tmp_path):
    ours = levels_of(tmp_path, CONFIGS[name])
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path)
    config = scheduler.config
    for (steps, tokens), mine in zip(CASES, ours):
        if steps == 1 and config.get("shift_terminal"):  # diffusers divides 0 by 0
            assert mine.tolist() == [1.0, 0.0]
            continue
        mu = calculate_shift(tokens, config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096),
                             config.get("base_shift", 0.5), config.get("max_shift", 1.15))  # as the pipelines do
        scheduler.set_timesteps(steps, mu=mu if config.use_dynamic_shifting else None)
        assert mine.shape == scheduler.sigmas.shape
        assert (mine - scheduler.sigmas.double()).abs().max() < TOLERANCE, (steps, tokens)


def test_every_config_above_counts(tmp_path):
    """No two of them ask for the same levels, but for those that should: none is read as another."""
    said = {}
    for name, config in CONFIGS.items():
        said.setdefault(str([levels.tolist() for levels in levels_of(tmp_path, config)]), []).append(name)
    assert [names for names in said.values() if len(names) > 1] == [["shift", "terminal_zero"]]


def test_are_those_of_published_runs(tmp_path):
    flux = ours(tmp_path, 6, tokens=1024)["flux"]
    golden = [1, 0.90374, 0.78970, 0.65249, 0.48422, 0.27300, 0]
    assert torch.allclose(flux, torch.tensor(golden, dtype=torch.float64), rtol=0, atol=1e-5)
    for schedule in ours(tmp_path, 1).values():
        assert schedule.tolist() == [1.0, 0.0]
