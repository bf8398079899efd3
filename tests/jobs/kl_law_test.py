"""Alignment in the laboratory, where the law that it should reach is a formula.

A Gaussian of D independent elements N(0, s^2) and the reward mean(x). A policy gradient of the advantages r / sigma against beta times
the KL of the steps has its optimum at the law tilted by e^{r / (sigma beta)}, whose mean is s^2 / (D sigma beta): exactly in the limit of many
steps of the memoryless kernel, where x_0 does not depend on the initial noise, which no step can change.
"""

import json

import pytest
import resuming
from program import run_job

ELEMENTS, DEVIATION = 16, 0.5


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
           "optimizer": {"learning_rate": rate, "schedule": "linear", "weight_decay": 0.0}, "iterations": iterations,
           "evaluate": {"every": iterations, "steps": 10, "pictures": 0}, "checkpoint": {"every": iterations},
           "monitors": {"brightness_shift": 0}, "parallel": {"workers": 1, "micro_batch": 512},
           "seed": 0}
    run_job(output, job)
    config = json.loads((output / "model/mixture/config.json").read_text())
    rows = [row for row in resuming.rows(output / "metrics.jsonl") if row["kind"] == "train"]
    return config, rows


def test_a_policy_gradient_with_a_kl_reaches_the_tilted_law(folder, tmp_path):
    beta, distance = 0.25, {}
    for steps in (20, 80):
        config, rows = align(folder, tmp_path / str(steps),
                             {"name": "flow_grpo", "prompts_per_iteration": 8, "group_size": 64, "updates": 1, "clip_range": 10,
                              "kl_beta": beta, "kl_scale": "std"}, {"name": "memoryless", "steps": steps}, 120, 0.02)
        # Of mean(x), of samples with as many steps: s^2 = D sigma^2.
        sigma = sum(row["reward_std_mean"] for row in rows[-40:]) / 40
        law = sigma / beta
        distance[steps] = abs(config["means"][0] / law - 1.0)
        print(f"{steps} steps: mean {config['means'][0]:.4f}, of the law {law:.4f}, deviation {config['stds'][0]:.4f}")
        assert config["stds"][0] == pytest.approx(DEVIATION, abs=0.02)  # a linear reward does not touch it
    assert distance[20] < 0.18 and distance[80] < 0.08 and distance[80] < 0.6 * distance[20]


@pytest.mark.parametrize("name", resuming.METHODS)
def test_every_method_raises_the_reward(name, folder, tmp_path):
    parts = resuming.METHODS[name]
    method = {**parts["method"], "prompts_per_iteration": 8, "group_size": 16}
    if "branches" in method:
        method["branches"] = 8  # of two steps
    _, rows = align(folder, tmp_path / "run", method, {"steps": 6, **parts["sampler"], "guidance_scale": 1.0}, 20, 0.02)
    first, last = (sum(row["reward"] for row in part) / len(part) for part in (rows[:2], rows[-4:]))
    assert last > first + 0.02, (first, last)
