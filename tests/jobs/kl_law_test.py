"""Alignment in the laboratory, where the law that it should reach is a formula.

A Gaussian of D independent elements N(0, s^2) and the reward mean(x). A policy gradient of the advantages r / sigma against beta times
the KL of the steps has its optimum at the law tilted by e^{r / (sigma beta)}, whose mean is s^2 / (D sigma beta): exactly in the limit of many
steps of the memoryless kernel, where x_0 does not depend on the initial noise, which no step can change. For a sampler's own few steps
transition_laws.py has where each method of the transition loop stops.

Methods on clean latents hold the velocity near the reference's; where each of them then stops is LAWS. Laws on a mixture: mixture_law_test.py.

flow_dpo and mah_dpo have no law here: of two samples of a rollout the better one is always the same, so their loss falls for ever as the policy goes on, and the
reference only slows it. Those that distil a teacher have no reward, or none that is weighed against a KL.
"""

import json

import numpy as np
import pytest
import resuming
import scipy.optimize
from program import run_job
from transition_laws import (DEVIATION, ELEMENTS, Path, balanced, branched, cps, dance_sde, flow_sde, grown, memoryless, of_group,
                             slope_and_offset, walked)

CLIP = 5.0  # the default of adv_clip_max


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laboratory")
    (folder / "model/mixture").mkdir(parents=True)
    (folder / "model/model_index.json").write_text(json.dumps(
        {"_class_name": "GaussianMixturePipeline", "mixture": ["thalweg", "GaussianMixture"]}))
    (folder / "model/mixture/config.json").write_text(json.dumps(
        {"shape": [1, 1, 4, 4], "weights": [1.0], "means": [0.0], "stds": [DEVIATION]}))
    (folder / "prompts.txt").write_text("".join(f"{i}\n" for i in range(8)))
    return folder


def align(folder, output, method, sampler, iterations, rate):
    prompts = str(folder / "prompts.txt")
    job = {"job": "align", "model": {"path": str(folder / "model")},
           "prompts": {"train": prompts, "select": prompts, "eval": prompts},
           "sampler": {"height": 4, "width": 4, **sampler}, "rewards": [{"plugin": "analytic"}], "method": method,
           "optimizer": {"learning_rate": rate, "schedule": "linear", "weight_decay": 0.0}, "ema_decay": 0.9, "iterations": iterations,
           "evaluate": {"every": iterations, "steps": sampler["steps"], "pictures": 0}, "checkpoint": {"every": iterations},
           "monitors": {"brightness_shift": 0}, "parallel": {"workers": 1, "micro_batch": 512},
           "seed": 0}
    run_job(output, job)
    config = json.loads((output / "model/mixture/config.json").read_text())
    rows = [row for row in resuming.rows(output / "metrics.jsonl") if row["kind"] == "train"]
    return config, rows


def test_many_steps_of_the_memoryless_kernel_reach_the_tilted_law():
    distance = []
    for steps in (20, 80, 320):
        every = set(range(steps))
        tilt = Path(memoryless, steps, every).sigma / 0.25  # of mean(x): s^2 = D sigma^2
        distance.append(abs(balanced(0.25, walked(memoryless, steps, [every])) / tilt - 1))
    assert distance[0] < 0.1 and distance[1] < 0.02 and distance[2] < 0.002


WALKS, RATHER = 8, 32  # steps, and samples of a group
ALL = [set(range(WALKS))]
MOVING = [{i, i + 1} for i in range(3)]
OF_ALL, OF_GROUP = (RATHER - 1) / RATHER, of_group(RATHER, ddof=1)  # what advantages are divided by
# kl_beta; keys of the sampler beside those of resuming.METHODS; by how much finite groups weaken the law; its terms.
TRANSITION_LAWS = {
    "flow_grpo": (0.25, {"name": "memoryless", "window": {}}, OF_ALL, lambda: walked(memoryless, WALKS, ALL)),
    # Its log-prob is -(x' - mean)^2.
    "flow_grpo_fast": (2.0, {"window": {"begin": 0, "size": 2}}, OF_ALL,
                       lambda: walked(cps, WALKS, [{0, 1}], lambda std, dt: 2 * std**2)),
    "dance_grpo": (0.1, {}, OF_GROUP, lambda: walked(dance_sde, WALKS, [set(range(WALKS - 1))])),
    "mix_grpo": (1.0, {"window": {"begin": 0, "size": 2, "until": 4, "policy": "progressive", "iterations": 2}}, OF_GROUP,
                 lambda: walked(flow_sde, WALKS, MOVING)),
    "grpo_guard": (0.5, {}, OF_ALL, lambda: walked(flow_sde, WALKS, ALL, lambda std, dt: std / dt)),
    "flow_dppo": (0.25, {}, OF_ALL, lambda: walked(flow_sde, WALKS, ALL)),
    "branch_grpo": (0.25, {}, 1.0, lambda: grown(flow_sde, WALKS, [0, 1, 2, 3, 4], RATHER)),
    "tempflow_grpo": (4.0, {}, of_group(RATHER // 2), lambda: branched(flow_sde, WALKS, [0, 1])),
}


@pytest.mark.parametrize("name", TRANSITION_LAWS)
def test_a_method_on_transitions_with_a_kl_reaches_its_law(name, folder, tmp_path):
    kl_beta, sampler, share, terms = TRANSITION_LAWS[name]
    parts = resuming.METHODS[name]
    method = {**parts["method"], "prompts_per_iteration": 8, "group_size": RATHER, "updates": 1, "kl_beta": kl_beta, "kl_scale": "std"}
    changes = {"kl_target": {}, "keep": RATHER, "branches": RATHER // 2}  # of two steps
    method.update({key: value for key, value in changes.items() if key in method})
    if name != "flow_dppo":
        method["clip_range"] = 10
    config, _ = align(folder, tmp_path / "run", method, {"steps": WALKS, **parts["sampler"], **sampler}, 150, 0.02)
    law = share * balanced(kl_beta, terms())
    print(f"{name}: mean {config['means'][0]:.4f}, of the law {law:.4f}; deviation {config['stds'][0]:.4f}")
    assert config["means"][0] == pytest.approx(law, rel=0.05)
    assert config["stds"][0] == pytest.approx(DEVIATION, abs=0.05)  # a linear reward does not touch it


# Methods on clean latents. A shift m of the Gaussian's mean moves its velocity by -c(t) m in every element, c = t / ((1-t)^2 s^2 + t^2),
# at every state, so a loss of velocities has in m a quadratic of weight c^2. With samples x_0 of mean mu and deviation sigma of mean(x_0),
# E[A (u - v)] = -c sigma: for an advantage A the policy's term pulls m by sigma, against kl_beta m.


def sampled(mean, s=DEVIATION):
    """Mean and deviation of an element of what the ODE of N(mean, s^2) draws."""
    mu, deviation = 0.0, 1.0
    for t in LEVELS:
        slope, offset = slope_and_offset(mean, s, t)
        mu -= (slope * mu + offset) / STEPS
        deviation *= 1.0 - slope / STEPS
    return mu, deviation


def deviation_of_mean(mean):
    return sampled(mean)[1] / ELEMENTS**0.5


def normalised_pull(mean, level_weight):
    """E[w c A e / mean|e|] / E[c^2] over the steps' noise levels, e = v - u of N(mean, s^2) at samples of the ODE: the pull where
    errors are divided by their own mean absolute value."""
    generator = np.random.default_rng(0)
    mu, deviation = sampled(mean)
    x0 = mu + deviation * generator.standard_normal((20000, ELEMENTS))
    advantage = (x0.mean(1) - mu) / deviation_of_mean(mean)
    pull = weight = 0.0
    for t in LEVELS:
        noise = generator.standard_normal(x0.shape)
        slope, offset = slope_and_offset(mean, DEVIATION, t)
        e = slope * ((1 - t) * x0 + t * noise) + offset - (noise - x0)
        c = t / ((1 - t) ** 2 * DEVIATION**2 + t**2)
        pull += c * level_weight(t) * (advantage * e.mean(1) / np.abs(e).mean(1)).mean()
        weight += c**2
    return pull / weight


def matched(mu, variance):
    """Mean and deviation of the Gaussian whose velocity is nearest to that of samples of the given mean and variance of an element,
    and KL_BETA times as near to the reference's."""
    def errors(mean, s):
        total = 0.0
        for t in LEVELS:
            (slope, offset), (slope0, offset0) = slope_and_offset(mean, s, t), slope_and_offset(0.0, DEVIATION, t)
            x, x2 = (1 - t) * mu, ((1 - t) * mu) ** 2 + (1 - t) ** 2 * variance + t**2
            target_x = t - (1 - t) * (variance + mu**2)  # E[(noise - x_0) x_t]
            total += slope**2 * x2 + 2 * slope * (offset * x - target_x) + offset**2 + 2 * offset * mu
            d, o = slope - slope0, offset - offset0
            total += KL_BETA * (d**2 * x2 + 2 * d * o * x + o**2)
        return total

    return scipy.optimize.minimize(lambda point: errors(*point), [mu, DEVIATION], method="Nelder-Mead").x


def of_matching(weighted):
    """Where a method that fits weighted samples of its own stops: `weighted` makes their mean and variance of an element."""
    at = np.array([0.0, DEVIATION])
    for _ in range(60):
        mu, deviation = sampled(*at)
        at = matched(*weighted(mu, deviation))
    return at


def best_of_group(mu, deviation):
    """Of the largest mean(x_0) in GROUP."""
    largest = np.random.default_rng(1).standard_normal((100000, GROUP)).max(1)
    return (mu + deviation / ELEMENTS**0.5 * largest.mean(),
            deviation**2 * (1 - 1 / ELEMENTS + largest.var() / ELEMENTS))


def of_advantages(pull):
    """Where kl_beta m balances the pull, which depends a little on m through what is drawn there."""
    mean = 0.0
    for _ in range(20):
        mean = pull(mean) / KL_BETA
    return mean, DEVIATION


KL_BETA, STEPS, GROUP, BETA = 0.25, 20, 64, 0.25
LEVELS = 1.0 - np.arange(STEPS) / STEPS
ALL_LEVELS = {"times_per_sample": STEPS}
SCHEDULE = {"noise_levels": {"name": "schedule"}, **ALL_LEVELS}
# The method's own keys, and the mean and deviation that it should reach.
LAWS = {
    # The gradient of -A l / clip.
    "awm": ({"weighting": {"name": "uniform"}, "ema_kl_beta": 0.0, "first_step": 0, "last_share": 1.0, **ALL_LEVELS},
            lambda: of_advantages(lambda m: deviation_of_mean(m) / CLIP)),
    # At beta 0 each group weighs 1/2.
    "dgpo": ({"beta": 0.0, "clip_range": 0.5, "base_limit": 0.0, "last_share": 1.0, "average": {"rate": 0.0, "maximum": 0.0},
              **ALL_LEVELS}, lambda: of_advantages(lambda m: 0.5 * deviation_of_mean(m))),
    # Its errors are those of x_0 = x_t - t v: t e.
    "diffusion_nft": ({"old_policy": {"name": "none"}, **ALL_LEVELS},
                      lambda: of_advantages(lambda m: normalised_pull(m, lambda t: t))),
    # Where the old policy follows at once, implicit rewards are 0.
    "crd": ({"old_policy": {"name": "none"}, "rollout_policy": {"name": "none"}, "kl_guidance": 1.0, "kl_floor": 1.0,
             "last_share": 1.0, **ALL_LEVELS}, lambda: of_advantages(lambda m: normalised_pull(m, lambda t: 1.0))),
    # e^{mean(x) / BETA} moves the mean of an element by its variance / (D BETA).
    "flow_rwr": ({"beta": BETA, **SCHEDULE},
                 lambda: of_matching(lambda mu, s: (mu + s**2 / (ELEMENTS * BETA), s**2))),
    "sft": ({"data": {"name": "best_of_group"}, **SCHEDULE}, lambda: of_matching(best_of_group)),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_matching_method_with_a_kl_reaches_its_law(name, folder, tmp_path):
    keys, law_of = LAWS[name]
    method = {"name": name, "prompts_per_iteration": 8, "group_size": GROUP, "updates": 1, "kl_beta": KL_BETA, **keys}
    config, _ = align(folder, tmp_path / "run", method, {"name": "flow_ode", "steps": STEPS}, 120, 0.03)
    mean, deviation = law_of()
    print(f"{name}: mean {config['means'][0]:.4f}, of the law {mean:.4f}; deviation {config['stds'][0]:.4f}, of the law {deviation:.4f}")
    assert config["means"][0] == pytest.approx(mean, rel=0.05)
    assert config["stds"][0] == pytest.approx(deviation, rel=0.05)


def test_of_guided_rollouts_twice_the_kl_is_half_the_way(folder, tmp_path):
    """What the advantages pull by depends on the guidance, but not on where the policy is: they know differences alone."""
    parts, means = resuming.METHODS["euphonium"], []
    for kl_beta in (0.5, 1.0):
        method = {**parts["method"], "prompts_per_iteration": 8, "group_size": 32, "updates": 1, "kl_beta": kl_beta, "kl_scale": "std",
                  "clip_range": 10}
        config, _ = align(folder, tmp_path / str(kl_beta), method, {"steps": 8, **parts["sampler"]}, 100, 0.02)
        means.append(config["means"][0])
    print(f"means {means[0]:.4f} and {means[1]:.4f}")
    assert means[0] > 0.02 and means[0] / means[1] == pytest.approx(2.0, rel=0.12)


@pytest.mark.parametrize("name", [name for name in resuming.METHODS if name not in (
    "tdm", "dmd2", "guidance_distill", "guidance_to_policy", "mah_dpo", "reward_forcing")])  # no reward; a LoRA; its limit is the teacher
def test_every_method_raises_the_reward(name, folder, tmp_path):
    parts = resuming.METHODS[name]
    method = {**parts["method"], "prompts_per_iteration": 8, "group_size": 16}
    if name in ("refl", "draft", "adjoint_matching"):  # no groups
        del method["group_size"]
        method["prompts_per_iteration"] = 128
    if "branches" in method:
        method["branches"] = 8  # of two steps
    _, rows = align(folder, tmp_path / "run", method, {"steps": 6, **parts["sampler"], "guidance_scale": 1.0}, 20, 0.02)
    first, last = (sum(row["reward"] for row in part) / len(part) for part in (rows[:2], rows[-4:]))
    assert last > first + 0.02, (first, last)
