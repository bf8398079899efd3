"""Alignment of the mixture of assets/laboratory/line by the reward x: a policy of two components, whose tilted laws are such policies too.

flow_grpo with the KL as a reward (`kl_in`) follows the whole gradient of r - w log(p / p_ref), whose optimum is the law tilted by e^{x / w}, in
the limit of many steps of the memoryless kernel. (In the loss the KL of a step does not know what the step does to the KL of those after it. On a
Gaussian that is nothing.)

awm with a KL of velocities is at rest where no parameter of v changes

    E[A (v - u)^2] / clip + kl_beta E (v - v_ref)^2,

u = noise - x_0, over the steps' noise levels and what the policy draws: no tilted law, but for a small tilt, where both have the slope Var(x_0 | x_t).
"""

import numpy as np
import pytest
import scipy.optimize
from kl_law_test import CLIP, align
from mixtures import LABORATORY, REFERENCE, distance, mixture, quantiles, tilted, variance, velocity

GROUP, STEPS = 64, 20
METHOD = {"prompts_per_iteration": 8, "group_size": GROUP, "updates": 1}
SIZE = {"height": 1, "width": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    (folder / "model").symlink_to(LABORATORY / "line")
    (folder / "prompts.txt").write_text("".join(f"{i}\n" for i in range(8)))
    return folder


def trained(folder, output, method, sampler, iterations):
    align(folder, output, {**METHOD, **method}, {**SIZE, **sampler}, iterations, 0.03)
    return mixture(output / "model")


def test_a_policy_gradient_with_a_kl_reaches_the_tilted_law(folder, tmp_path):
    tilt, found = 1.2, []
    law = tilted(REFERENCE, tilt)
    for steps in (STEPS, 2 * STEPS):
        # The job's KL is a mean over the trained steps, and the last draws nothing. A deviation plus 1 keeps advantages in the reward's own
        # units: at the optimum r - w log(p / p_ref) has none left.
        method = {"name": "flow_grpo", "clip_range": 10, "kl_in": "reward", "kl_scale": "std", "kl_beta": (steps - 1) / tilt,
                  "std": {"eps": 1.0}}
        found.append(distance(trained(folder, tmp_path / str(steps), method, {"name": "memoryless", "steps": steps}, 150), law))
    print(f"W1 to the tilted law {found[0]:.4f} and {found[1]:.4f}, of {distance(REFERENCE, law):.4f} before")
    assert found[0] < 0.25 and found[1] < 0.15 and found[1] < 0.7 * found[0]


KL_BETA = 0.6
LEVELS = 1.0 - np.arange(STEPS) / STEPS


def law_of(theta):
    """Of means, log deviations, and the log of the weights' ratio."""
    first = 1 / (1 + np.exp(-theta[4]))
    return np.array([first, 1 - first]), theta[:2], np.exp(theta[2:4])


def unrest(theta):
    """The gradient of awm's loss there, halved: over the samples of the ODE and a quadrature of the noise."""
    law = law_of(theta)
    x = quantiles((np.ones(1), np.zeros(1), np.ones(1)), (np.arange(200) + 0.5) / 200)
    for t in LEVELS:
        x = x - velocity(x, t, law) / STEPS
    advantage = (GROUP - 1) / GROUP * (x - x.mean()) / x.std()
    noise, share = np.polynomial.hermite_e.hermegauss(12)
    gradient = np.zeros(5)
    for t in LEVELS:
        x_t = (1 - t) * x[:, None] + t * noise
        v, u = velocity(x_t, t, law), noise - x[:, None]
        pull = (advantage[:, None] * (v - u) / CLIP + KL_BETA * (v - velocity(x_t, t, REFERENCE))) * share / share.sum()
        for k, unit in enumerate(1e-4 * np.eye(5)):
            change = velocity(x_t, t, law_of(theta + unit)) - velocity(x_t, t, law_of(theta - unit))
            gradient[k] += (pull * change).sum() / 2e-4 / len(x)
    return gradient


def test_awm_reaches_its_law(folder, tmp_path):
    w, means, deviations = REFERENCE
    rest = scipy.optimize.root(unrest, [*means, *np.log(deviations), np.log(w[0] / w[1])], tol=1e-6)
    assert rest.success
    law = law_of(rest.x)
    method = {"name": "awm", "weighting": {"name": "uniform"}, "ema_kl_beta": 0.0, "first_step": 0, "last_share": 1.0,
              "times_per_sample": STEPS, "kl_beta": KL_BETA}
    found = trained(folder, tmp_path / "run", method, {"name": "flow_ode", "steps": STEPS}, 150)
    way = distance(REFERENCE, law)
    tilt = tilted(REFERENCE, 1 / (CLIP * KL_BETA * variance(law) ** 0.5))
    print(f"W1 to the law {distance(found, law):.4f}, of {way:.4f} before; to the law of a small tilt {distance(found, tilt):.4f}")
    assert distance(found, law) < 0.04 * way
    assert distance(law, tilt) < 0.2 * way
