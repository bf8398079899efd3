"""Gaussian mixtures in numpy: what assets/laboratory/README.md says in formulas."""

import json
import math

import numpy as np
from program import ROOT
from safetensors.numpy import load_file

LABORATORY = ROOT / "assets" / "laboratory"
REFERENCE = (np.array([0.6, 0.4]), np.array([-1.5, 1.0]), np.array([0.5, 0.35]))


def mixture(folder, prompt=None):
    """Weights, means and standard deviations of a model folder, as its config says."""
    config = json.loads((folder / "mixture" / "config.json").read_text())
    config = config["prompts"][prompt] if prompt else config
    return tuple(np.array(config[key]) for key in ("weights", "means", "stds"))


def mean(law):
    return float((law[0] * law[1]).sum())


def variance(law):
    return float((law[0] * (law[2] ** 2 + law[1] ** 2)).sum()) - mean(law) ** 2


def tilted(law, c):
    """The law tilted by e^{c x}."""
    w, m, s = law
    w = w * np.exp(c * m + (c * s) ** 2 / 2)
    return w / w.sum(), m + c * s**2, s


def log_evidence(law, c):
    w, m, s = law
    return math.log((w * np.exp(c * m + (c * s) ** 2 / 2)).sum())


def probability_above(law, threshold=0.0):
    return sum(w * 0.5 * math.erfc((threshold - m) / (s * math.sqrt(2))) for w, m, s in zip(*law))


def quantiles(law, u):
    w, m, s = law
    grid = np.linspace((m - 9 * s).min(), (m + 9 * s).max(), 200001)
    density = (w / s * np.exp(-0.5 * ((grid[:, None] - m) / s) ** 2)).sum(1) / math.sqrt(2 * math.pi)
    return np.interp(u, np.cumsum(density) * (grid[1] - grid[0]), grid)


def shares(log_weights):
    w = np.exp(log_weights - log_weights.max())
    return w / w.sum()


def w1(sample, law, share=None):
    """Wasserstein-1 distance of a sample to the law; `share`: weights of the sample with sum 1."""
    x = np.ravel(sample)
    share = np.full(x.size, 1 / x.size) if share is None else share
    order = np.argsort(x)
    return float((share[order] * np.abs(x[order] - quantiles(law, share[order].cumsum() - share[order] / 2))).sum())


def distance(law, other):
    """Wasserstein-1."""
    levels = (np.arange(2000) + 0.5) / 2000
    return float(np.abs(quantiles(law, levels) - quantiles(other, levels)).mean())


def velocity(x, t, law):
    w, m, s = law
    V, d = (1 - t) ** 2 * s**2 + t**2, x[..., None] - (1 - t) * m
    gamma = w * np.exp(-0.5 * d**2 / V) / np.sqrt(V)
    return (gamma * ((t - (1 - t) * s**2) / V * d - m)).sum(-1) / gamma.sum(-1)


def saved_latents(folder):
    return load_file(folder / "latents.safetensors")
