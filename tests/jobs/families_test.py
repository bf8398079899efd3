"""Every method and every way to steer on a model of every family, not on the one that most tests use."""

import json
import math

import pytest
import tiny_flux
import tiny_wan
from program import run_job
from resuming import METHODS, short_job

# Name, make_folder() and its settings, keys of the sampler's size.
FAMILIES = {"flux": (tiny_flux.make_folder, dict(seed=90), {}),
            "wan": (tiny_wan.make_folder, dict(seed=90), dict(frames=5))}
STEERING = {
    "best_of_n": [{"name": "best_of_n", "particles": 2}],
    "fk": [{"name": "fk", "particles": 4, "interval": 1}],
    "das": [{"name": "das", "particles": 2}],
    "guided_smc": [{"name": "guided_smc", "particles": 2}],
    "svdd": [{"name": "svdd", "candidates": 2}],
    "doob": [{"name": "doob", "candidates": 2}],
    "dps": [{"name": "dps", "lambda": 3.0}],
    "mpgd": [{"name": "mpgd", "lambda": 3.0}],
    "spsa": [{"name": "spsa", "lambda": 3.0}],
    "flow_nrg": [{"name": "flow_nrg", "lambda": 3.0}],
    "euphonium": [{"name": "euphonium", "gradient": "clean_estimate", "guidance_scale": 2.0}],
    "reno": [{"name": "reno", "iterations": 2}],
}
# Rewards of noised latents, for what follows such.
PROCESS = {"flow_nrg": [{"plugin": "analytic", "id": "org.thalweg.analytic.latents", "use": "process", "config": {"kind": "linear"}}]}


@pytest.fixture(scope="module", params=FAMILIES)
def files(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    make, options, size = FAMILIES[request.param]
    make(folder / "model", **options)
    (folder / "size.json").write_text(json.dumps(size))
    (folder / "prompts.txt").write_text("a red circle\ntwo blue squares\na big green triangle\n")
    return folder


def size_of(files):
    return json.loads((files / "size.json").read_text())


@pytest.mark.parametrize("method", METHODS)
def test_methods(method, files, tmp_path):
    job = short_job(files, method, model={"max_sequence_length": 8}, sampler=size_of(files), iterations=2)
    run = run_job(tmp_path / "run", job)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if row["kind"] == "train"]
    # Of the policy, or of each network that learns.
    norms = [value for row in trained for key, value in row.items() if key.endswith("grad_norm")]
    assert len(trained) == 2 and len(norms) >= 2 and any(norm > 0 for norm in norms)
    assert all(map(math.isfinite, norms)) and all(row.get("masked_samples", 0) == 0 for row in trained)


@pytest.mark.parametrize("steering", STEERING)
def test_steering(steering, files, tmp_path):
    job = {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 8},
           "prompts": {"texts": ["a red circle", "a blue square"]},
           "sampler": {"name": "flow_ode" if steering == "reno" else "memoryless", "steps": 3, "height": 16, "width": 16,
                       **size_of(files)}, "steering": STEERING[steering],
           "rewards": [{"plugin": "color"}, *PROCESS.get(steering, [])], "parallel": {"workers": 1}, "seed": 3}
    result = json.loads((run_job(tmp_path / "run", job) / "result.json").read_text())
    assert result["status"] == "succeeded" and result["rewards"]["color/redness"]["scored"] == 2


def test_prompts_have_the_familys_length_where_none_is_said(files, tmp_path):
    """As diffusers' pipelines have it: a transformer that attends to padding draws otherwise with another."""
    job = {"job": "sample", "model": {"path": str(files / "model")}, "prompts": {"texts": ["a red circle"]},
           "sampler": {"steps": 1, "height": 16, "width": 16, **size_of(files)}}
    run = run_job(tmp_path / "run", job)
    assert json.loads((run / "job.json").read_text())["model"]["max_sequence_length"] == 512
    told = run_job(tmp_path / "told", {**job, "model": {**job["model"], "max_sequence_length": 512}})
    for name in ("00000.mp4", "00000.png"):
        if (run / "samples" / name).exists():
            assert (run / "samples" / name).read_bytes() == (told / "samples" / name).read_bytes()
