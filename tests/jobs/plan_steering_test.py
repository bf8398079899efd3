"""`thalweg plan` counts what a job then asks of network and rewards: of every sampler and every steering method."""

import json

import pytest
from guidance_test import FRAMES, HIDDEN, SIZE, SOFT
from job_schema import expanded
from mixtures import LABORATORY
from program import ROOT, thalweg, write_job
from steering_test import zoo

STEPS = 7
COUNTS = ("samples", "network_evaluations", "network_gradients", "reward_calls", "reward_gradients")
SDE = {"name": "flow_sde", "steps": STEPS, **SIZE}
MEMORYLESS = {**SDE, "name": "memoryless"}  # its last step draws no noise
ODE = {**SDE, "name": "flow_ode"}
GUIDED = {**SDE, "guidance_scale": 3, "guidance_interval": {"begin": 1, "size": 3}}
NOT_STEERED = {"name": "spsa", "lambda": 0}  # counted, and not changed


def table(section):
    """Names of a table, as the schema of a sample job lists them: nothing can be added and not be counted here."""
    schema = expanded(json.loads((ROOT / "assets" / "schema" / "job.schema.json").read_text()))
    kinds = {kind["properties"]["job"]["const"]: kind["properties"] for kind in schema["oneOf"]}
    found = kinds["sample"][section]
    return {row["properties"]["name"]["const"] for row in found.get("items", found)["oneOf"]}


def write(folder, steering, sampler, reward, **keys):
    job = {"job": "sample", "model": {"path": str(LABORATORY / "line")}, "prompts": {"texts": ["", "left"]},
           "images_per_prompt": 5, "sampler": sampler, "steering": steering, "rewards": [reward], "save_images": False,
           "parallel": {"micro_batch": 6, "workers": 2}, "output": str(folder / "run"), **keys}
    return write_job(folder / "job.json", job)


def plan(path, *arguments):
    done = thalweg("plan", path, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def planned(path, *arguments):
    draws = plan(path, *arguments)["draws"]
    assert len(draws) == 1
    return {key: draws[0][key] for key in COUNTS}


def counted(path, code=0):
    done = thalweg("run", path)
    assert done.returncode == code, done.stdout + done.stderr
    steering = json.loads((path.parent / "run" / "result.json").read_text())["steering"]
    return {key: steering[key] for key in COUNTS}


STEERED = [
    ({"name": "best_of_n", "particles": 3}, ODE, HIDDEN),
    ({"name": "best_of_n", "particles": 9, "returned": "all"}, SDE, HIDDEN),
    ({"name": "fk", "interval": 2}, SDE, HIDDEN),
    ({"name": "fk", "interval": 3, "window": {"begin": 1, "size": 5}, "particles": 5}, GUIDED, HIDDEN),
    ({"name": "fk", "interval": 1, "value": "noisy_latents", "lambda": 1}, MEMORYLESS, SOFT),
    ({"name": "fk", "potential": "is"}, SDE, HIDDEN),
    ({"name": "fk", "particles": 1}, SDE, HIDDEN),
    ({"name": "svdd", "candidates": 3}, SDE, HIDDEN),
    ({"name": "svdd", "candidates": 40, "window": {"begin": 2, "size": 3}}, GUIDED, HIDDEN),
    ({"name": "svdd", "candidates": 3, "value": "noisy_latents"}, MEMORYLESS, SOFT),
    ({"name": "das"}, SDE, FRAMES),
    ({"name": "das", "particles": 9, "value": "noisy_latents"}, GUIDED, SOFT),
    ({"name": "das", "lambda": 0}, MEMORYLESS, FRAMES),
    ({"name": "guided_smc"}, SDE, FRAMES),
    ({"name": "guided_smc", "begin": 2}, MEMORYLESS, FRAMES),
    ({"name": "guided_smc", "value": "noisy_latents"}, GUIDED, SOFT),
    ({"name": "flow_nrg"}, ODE, SOFT),
    ({"name": "flow_nrg", "window": {"begin": 2, "size": 2}}, GUIDED, SOFT),
    ({"name": "dps"}, {**ODE, "name": "dpmpp_2s"}, FRAMES),
    ({"name": "dps", "max_sigma": 0.5}, GUIDED, FRAMES),
    ({"name": "mpgd"}, {**ODE, "name": "heun"}, FRAMES),
    ({"name": "spsa", "probes": 3}, {**ODE, "name": "dpmpp_2m"}, HIDDEN),
    ({"name": "euphonium", "window": {"begin": 4}}, SDE, SOFT),
    ({"name": "euphonium", "gradient": "spsa", "beta": 1}, MEMORYLESS, HIDDEN),
    ({"name": "euphonium", "gradient": "clean_estimate"}, GUIDED, FRAMES),
    ({"name": "doob", "candidates": 4}, SDE, HIDDEN),
    ({"name": "doob", "candidates": 80, "lookahead": "shared", "greedy_tail": 2}, SDE, HIDDEN),
    ({"name": "doob", "candidates": 4, "lookahead": "rollout", "rollout_steps": 3, "form": "drift"}, GUIDED, HIDDEN),
    ({"name": "doob", "candidates": 4, "form": "vjp", "keep_best": True}, SDE, HIDDEN),
    ({"name": "doob", "candidates": 3, "antithetic": False, "window": {"begin": 2, "size": 3}}, MEMORYLESS, HIDDEN),
    ({"name": "doob", "candidates": 4, "lookahead": "noisy_latents", "gamma": 0}, SDE, SOFT),
    ({"name": "reno", "iterations": 4}, {**GUIDED, "name": "flow_ode"}, FRAMES),
    ({"name": "reno", "iterations": 1}, ODE, FRAMES),
    ({"name": "reno", "iterations": 3}, {**ODE, "steps": 1}, FRAMES)]


def test_every_method_is_counted_here():
    assert {entry["name"] for entry, _, _ in STEERED} == table("steering")


@pytest.mark.parametrize("entry, sampler, reward", STEERED, ids=lambda value: value.get("name", ""))
def test_a_steered_run_asks_for_what_was_planned(tmp_path, entry, sampler, reward):
    path = write(tmp_path, [entry], sampler, reward)
    assert planned(path, "--estimate") == counted(path)


@pytest.mark.parametrize("entries", [
    [{"name": "dps"}, {"name": "fk", "interval": 2}], [{"name": "mpgd"}, {"name": "das"}],
    [{"name": "dps"}, {"name": "dps", "window": {"begin": 3}}], [{"name": "spsa"}, {"name": "guided_smc"}],
    [{"name": "dps"}, {"name": "doob", "form": "vjp", "candidates": 2}],
    [{"name": "dps"}, {"name": "reno", "iterations": 3}]], ids=str)
def test_methods_within_methods_multiply_as_planned(tmp_path, entries):
    path = write(tmp_path, entries, {**GUIDED, "name": "flow_ode"} if entries[-1]["name"] == "reno" else GUIDED, FRAMES)
    assert planned(path, "--estimate") == counted(path)


# The one thing that depends on chance: a step none of whose candidates is scored asks for its successor's velocity anew.
@pytest.mark.parametrize("entry", [{"name": "fk", "interval": 2}, {"name": "svdd"}, {"name": "doob", "candidates": 4}], ids=str)
def test_rewards_that_fail_cost_doob_an_evaluation_a_step(tmp_path, entry):
    path = write(tmp_path, [entry], SDE, zoo("error_always"))
    expected, found = planned(path, "--estimate"), counted(path, code=2)  # nothing was scored
    more = found.pop("network_evaluations") - expected.pop("network_evaluations")
    assert found == expected
    assert more == (found["samples"] * (STEPS - 1) if entry["name"] == "doob" else 0)


GUIDANCE = {"none": {}, "everywhere": {"guidance_scale": 2}, "somewhere": {"guidance_scale": 2, "guidance_interval": {"begin": 2, "size": 2}}}
SAMPLERS = ["flow_ode", "heun", "dpmpp_2m", "dpmpp_2s", "flow_sde", "dance_sde", "cps", "memoryless", "unipc"]


def test_every_sampler_is_counted_here():
    assert set(SAMPLERS) == table("sampler")


@pytest.mark.parametrize("guidance", GUIDANCE)
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_asks_for_what_was_planned(tmp_path, name, guidance):
    sampler = {**ODE, "name": name, **GUIDANCE[guidance]}
    path = write(tmp_path, [NOT_STEERED], sampler, HIDDEN)
    expected = counted(path)
    assert planned(path, "--estimate") == expected
    alone = planned(path, "--estimate", "--set", "/steering=[]")
    assert alone["network_evaluations"] == expected["network_evaluations"] and alone["reward_calls"] == 0


@pytest.mark.parametrize("policy", [{}, {"policy": "random"}])
@pytest.mark.parametrize("ratio", [1, 0.5, 0.01])
def test_a_shorter_tail_is_planned(tmp_path, ratio, policy):
    sampler = {**SDE, "window": {"begin": 1, "size": 2, **policy}, "tail_ratio": ratio, "guidance_scale": 2,
               "guidance_interval": {"begin": 2, "size": 3}}
    path = write(tmp_path, [NOT_STEERED], sampler, HIDDEN)
    assert planned(path, "--estimate") == counted(path)


def test_a_rehearsal_steers_too(tmp_path):
    path = write(tmp_path, [{"name": "dps"}], SDE, FRAMES, images_per_prompt=40)
    measured = plan(path, "--measure")
    assert measured["measured"] and not (tmp_path / "run").exists()
    phases = {phase["phase"] for phase in measured["time"]["phases"]}
    assert {"network", "gradient", "decode", "reward"} <= phases
    shown = thalweg("plan", path)
    assert "80, each by 8 network evaluations (7 with gradient), 7 rewards (7 with gradient)" in shown.stdout


# What a method holds: rows, in parts of the micro-batch, but for those whose gradients wait.
def test_gradients_are_a_peak_of_their_own(tmp_path):
    def job(name):
        steered = {"job": "sample", "model": {"path": str(ROOT / "assets/models/tiny-sd3")}, "prompts": {"texts": ["a"] * 64},
                   "sampler": {"name": "flow_sde", "steps": 4, "height": 64, "width": 64}, "steering": [{"name": name}],
                   "rewards": [{"plugin": "color", "config": {"channel": "red"}}], "output": str(tmp_path / "run")}
        return write_job(tmp_path / f"{name}.json", steered)
    phases = {}
    for name, sampler in (("spsa", "flow_sde"), ("mpgd", "flow_sde"), ("dps", "flow_sde"), ("reno", "flow_ode")):
        memory = plan(job(name), "--estimate", "--set", f"/sampler/name={sampler}")["memory"]
        phases[name] = {item["name"]: item["bytes"] for item in memory["transient"]}
    assert "gradient" not in phases["spsa"]
    assert phases["dps"]["gradient"] > phases["mpgd"]["gradient"] > phases["mpgd"]["decode"]
    assert phases["dps"]["rollout"] == phases["spsa"]["rollout"]
    assert phases["reno"]["gradient"] == phases["dps"]["gradient"]  # of all its steps, one at a time
