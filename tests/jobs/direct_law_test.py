"""Direct gradients in the laboratory: Adjoint Matching stops at the tilted law, ReFL and DRaFT do not stop."""

import json
import re

import numpy as np
import pytest
import resuming
from laboratory import JOBS, run
from mixtures import LABORATORY, REFERENCE, distance, mean, mixture, tilted, variance
from program import run_job

TILT = 1.2
LAW = tilted(REFERENCE, TILT)


def align(folder, method, sampler, iterations, **keys):
    job = json.loads((JOBS / "laboratory_adjoint_matching.json").read_text())
    job = {**job, "method": {"prompts_per_iteration": 512, **method}, "sampler": {"height": 1, "width": 1, **sampler},
           "iterations": iterations, "evaluate": {"every": iterations, "steps": 10, "pictures": 0},
           "checkpoint": {"every": iterations}, **keys}
    del job["output"]
    run_job(folder, job)
    return mixture(folder / "model"), [row for row in resuming.rows(folder / "metrics.jsonl") if row["kind"] == "train"]


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """The job of assets/jobs."""
    folder = tmp_path_factory.mktemp("tilt") / "runs" / "laboratory_adjoint_matching"
    run(JOBS / "laboratory_adjoint_matching.json", folder)
    return folder


def test_adjoint_matching_reaches_the_tilted_law(aligned):
    law = mixture(aligned / "model")
    print(f"mean {mean(law):.4f}, of the law {mean(LAW):.4f}; variance {variance(law):.4f}, {variance(LAW):.4f}; "
          f"W1 {distance(law, LAW):.4f}, before {distance(REFERENCE, LAW):.4f}")
    assert distance(law, LAW) < 0.03
    assert mean(law) == pytest.approx(mean(LAW), abs=0.03) and variance(law) == pytest.approx(variance(LAW), abs=0.05)
    for found, exact in zip(law, LAW):  # component by component
        assert found == pytest.approx(exact, abs=0.05)


def test_the_page_says_how(aligned):
    text = (LABORATORY / "README.md").read_text()
    *_, page = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(page.replace("runs/", f"{aligned.parent}/"), names)
    assert names["found"] == pytest.approx(names["exact"], abs=0.05)
    assert names["exact"] == pytest.approx(np.array(LAW), abs=1e-9)


def test_of_a_gaussian_nothing_is_left_to_learn_there(tmp_path):
    """A Gaussian, whose optimum does not depend on the number of steps: at it the loss is gone, not only its mean gradient."""
    model = tmp_path / "model"
    (model / "mixture").mkdir(parents=True)
    (model / "model_index.json").write_text(json.dumps(
        {"_class_name": "GaussianMixturePipeline", "mixture": ["thalweg", "GaussianMixture"]}))
    (model / "mixture/config.json").write_text(json.dumps(
        {"shape": [1, 1, 1, 1], "weights": [1.0], "means": [0.7], "stds": [0.5]}))
    law, rows = align(tmp_path / "run", {"name": "adjoint_matching", "lambda": TILT, "times_per_sample": 4},
                      {"name": "memoryless", "steps": 5}, 150, model={"path": str(model)})
    print(f"{law}, loss {rows[0]['policy_loss']:.4g} to {rows[-1]['policy_loss']:.4g}")
    assert law[1][0] == pytest.approx(0.7 + TILT * 0.25, abs=0.01)
    assert law[2][0] == pytest.approx(0.5, abs=0.01)
    assert rows[-1]["policy_loss"] < 5e-3 * rows[0]["policy_loss"]


@pytest.mark.parametrize("method", [{"name": "draft", "steps_back": 5},
                                    {"name": "refl", "first_share": 0.25, "loss": {"name": "linear", "weight": 1.0}}],
                         ids=lambda method: method["name"])
def test_the_others_pass_the_tilted_law_and_go_on(method, tmp_path):
    sampler = {"name": "flow_ode", "steps": 20}
    optimizer = {"learning_rate": 0.05, "weight_decay": 0.0}
    means = []
    for iterations in (60, 120):
        law, _ = align(tmp_path / str(iterations), method, sampler, iterations, optimizer=optimizer)
        means.append(mean(law))
    print(f"{method['name']}: means {means[0]:.3f} and {means[1]:.3f}, of the law {mean(LAW):.3f}")
    assert means[0] > mean(LAW) + 0.3 and means[1] > means[0] + 0.5
