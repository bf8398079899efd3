"""Steering as jobs: what cannot be is refused at its place, and rewards that fail mask their particles."""

import json

import numpy as np
import pytest
from guidance_test import FRAMES, HIDDEN, SDE, latents, run
from mixtures import saved_latents
from parity_tool import BUILD


def zoo(name):
    return {"plugin": str(BUILD / f"tests/plugins/{name}.so"), "isolation": "inproc"}


FK = {"name": "fk", "particles": 4, "lambda": 2.0, "interval": 5}


@pytest.mark.parametrize("steering, place, says", [
    ([{**FK, "particles": 0}], "/steering/0/particles", "1"),
    ([{**FK, "window": {"begin": 20}}], "/steering/0/window/begin", "outside of the schedule"),
    ([{**FK, "window": {"begin": 4, "size": 17}}], "/steering/0/window/size", "outside of the schedule"),
    ([{"name": "doob", "temperature": 0}], "/steering/0/temperature", "1e-06"),
    ([{"name": "doob", "candidates": 3}], "/steering/0", "even"),
    ([{"name": "svdd", "temperature": -1}], "/steering/0/temperature", "0"),
    ([{**FK, "lamda": 1}], "/steering/0/lamda", '"lambda"'),
    ([{"name": "kf"}], "/steering/0/name", '"fk"'),
    ([FK, {"name": "svdd"}], "/steering/1/name", "fk and svdd"),
    ([{**FK, "interval": 21}], "/steering/0/interval", "longer than the 20 steps"),
    ([{"name": "spsa"}, {"name": "spsa"}], "/steering/1", "says the same as /steering/0"),
    ([{"name": "doob", "clip": 1}], "/steering/0/clip", "vjp"),
    ([{"name": "das"}], "/steering/0/name", "has none")], ids=str)
def test_what_cannot_be_is_refused_at_its_place(tmp_path, steering, place, says):
    done = run(tmp_path / "run", steering, [HIDDEN])
    assert done.returncode == 2
    assert place in done.stderr and says in done.stderr, done.stderr
    assert not (tmp_path / "run" / "latents.safetensors").exists()


@pytest.mark.parametrize("method, sampler, place, says", [
    ({"name": "svdd", "window": {"begin": 10}}, {**SDE, "window": {"begin": 0, "size": 5}}, "/steering/0", "nothing to choose"),
    ({"name": "doob"}, {**SDE, "name": "memoryless", "steps": 1}, "/steering/0", "take more steps"),
    ({**FK, "interval": 1}, {**SDE, "noise_level": 1e-9}, "/sampler/noise_level", "more than rounding"),
    ({**FK, "interval": 1}, {**SDE, "schedule": {"name": "flux"}, "height": 8192, "width": 8192}, "/sampler/schedule/name",
     "levels that differ")], ids=str)
def test_what_could_never_steer_is_refused_before_anything_is_drawn(tmp_path, method, sampler, place, says):
    done = run(tmp_path / "run", [method], [HIDDEN], sampler)
    assert done.returncode == 2 and place in done.stderr and says in done.stderr, done.stderr


def test_weights_that_would_be_wrong_are_refused(tmp_path):
    done = run(tmp_path / "run", [{"name": "guided_smc"}], [FRAMES], {**SDE, "name": "cps"})
    assert done.returncode == 2 and "/sampler/name" in done.stderr and "marginals" in done.stderr


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("method", [FK, {"name": "svdd", "candidates": 4}, {"name": "doob", "candidates": 4},
                                    {"name": "best_of_n", "particles": 4}], ids=lambda m: m["name"])
def test_particles_without_a_reward_are_masked_and_said(tmp_path, method):
    x = latents(tmp_path / "run", [method], [zoo("nan_value")])
    assert np.isfinite(x).all()
    steering = [row for row in result(tmp_path / "run")["reward_failures"] if row["phase"] == "steering"]
    assert steering and steering[0]["plugin"] == "nan_value" and "wrote NaN" in steering[0]["reason"]
    events = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    assert any(event["data"].get("phase") == "steering" for event in events)


@pytest.mark.parametrize("method", [FK, {"name": "svdd", "candidates": 4}, {"name": "doob", "candidates": 4}],
                         ids=lambda m: m["name"])
def test_where_no_particle_has_a_reward_the_samples_are_the_samplers_own(tmp_path, method):
    """Which is no steering: they are written, and the run fails."""
    done = run(tmp_path / "run", [method], [zoo("error_always")])
    assert done.returncode == 2 and "not one sample was scored" in done.stderr
    x = saved_latents(tmp_path / "run")["latents"]
    assert np.isfinite(x).all()
    if "candidates" in method:
        assert np.array_equal(x, latents(tmp_path / "base", [], [FRAMES]))
    else:
        alone = latents(tmp_path / "unweighted", [{**method, "lambda": 0.0}], [FRAMES])
        assert np.array_equal(x, alone)
    assert result(tmp_path / "run")["steering"]["unscored"]


def test_the_cost_is_what_was_called(tmp_path):
    latents(tmp_path / "fk", [FK], [FRAMES])
    steering = result(tmp_path / "fk")["steering"]
    assert steering["network_evaluations"] == 200 * 4 * 20
    assert steering["reward_calls"] == 200 * 4 * 5  # before steps 0, 5, 10, 15, and in the end
    assert steering["network_gradients"] == steering["reward_gradients"] == 0
    assert 1 <= steering["unique_ancestors"] <= 4 and len(steering["ess"]) >= 20
    latents(tmp_path / "dps", [{"name": "dps"}], [FRAMES])
    steering = result(tmp_path / "dps")["steering"]
    assert steering["network_evaluations"] == 200 * 21  # the gradient at t = 1 is one of its own
    assert steering["network_gradients"] == steering["reward_gradients"] == 200 * 20


def test_a_reward_of_weight_nothing_is_not_asked_while_steering(tmp_path):
    held_out = {**FRAMES, "weight": 0}
    x = latents(tmp_path / "with", [FK], [FRAMES, held_out])
    assert np.array_equal(x, latents(tmp_path / "without", [FK], [FRAMES]))
    assert result(tmp_path / "with")["steering"]["reward_calls"] == 200 * 4 * 5
