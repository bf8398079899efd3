"""Guidance and Doob's transform as jobs on the laboratory's mixture: rewards by weight, and what is refused."""

import numpy as np
import pytest
from mixtures import LABORATORY, saved_latents
from program import thalweg, write_job

SIZE = {"height": 1, "width": 1}
SDE = {"name": "flow_sde", "steps": 20, **SIZE}
SOFT = {"plugin": "analytic", "id": "org.thalweg.analytic.latents",
        "config": {"kind": "soft_linear", "scale": 1.2, "weights": [0.6, 0.4], "means": [-1.5, 1.0], "stds": [0.5, 0.35]}}
FRAMES = {"plugin": "analytic", "config": {"kind": "linear", "scale": 1.2}}
HIDDEN = {"plugin": "analytic", "config": {"kind": "linear", "scale": 1.2, "hide_gradient": True}}


def run(folder, steering, rewards, sampler=SDE):
    job = {"job": "sample", "model": {"path": str(LABORATORY / "line")}, "prompts": {"texts": [""]},
           "images_per_prompt": 200, "sampler": sampler, "steering": steering, "rewards": rewards, "save_images": False,
           "save_latents": True, "parallel": {"micro_batch": 200}, "output": str(folder)}
    folder.parent.mkdir(exist_ok=True)
    return thalweg("run", write_job(folder.with_suffix(".json"), job))


def latents(*arguments):
    done = run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return saved_latents(arguments[0])["latents"]


def test_weights_and_strengths_add_up(tmp_path):
    one = latents(tmp_path / "one", [{"name": "flow_nrg"}], [SOFT])
    half, quarters = {**SOFT, "weight": 0.5}, [{"name": "flow_nrg", "lambda": 0.25}, {"name": "flow_nrg", "lambda": 0.75}]
    assert np.abs(latents(tmp_path / "two rewards", [{"name": "flow_nrg"}], [half, half]) - one).max() < 1e-9
    assert np.abs(latents(tmp_path / "two entries", quarters, [SOFT]) - one).max() < 1e-9
    assert np.abs(latents(tmp_path / "one half", [{"name": "flow_nrg"}], [half]) - one).max() > 0.1
    assert np.abs(latents(tmp_path / "base", [], [SOFT]) - one).mean() > 0.3


@pytest.mark.parametrize("entry, reward, sampler, place, says", [
    ({"name": "flow_nrg"}, FRAMES, SDE, "/steering/0/name", "dps"),
    ({"name": "euphonium"}, FRAMES, SDE, "/steering/0/name", "noise level"),
    ({"name": "dps"}, HIDDEN, SDE, "/steering/0/name", "spsa"),
    ({"name": "mpgd"}, HIDDEN, SDE, "/steering/0/name", "doob"),
    ({"name": "doob", "lookahead": "noisy_latents"}, FRAMES, SDE, "/steering/0/name", "noise level"),
    ({"name": "doob"}, HIDDEN, {"name": "flow_ode", "steps": 20, **SIZE}, "/sampler/name", "noise"),
    ({"name": "reno"}, HIDDEN, {**SDE, "name": "flow_ode"}, "/steering/0/name", "spsa"),
    *(({"name": "reno"}, FRAMES, {**SDE, "name": name}, "/sampler/name", "use flow_ode") for name in ("flow_sde", "memoryless", "heun")),
    ({"name": "euphonium", "beta": 1.0}, SOFT, {"name": "flow_ode", "steps": 20, **SIZE}, "/sampler/name", "noise"),
    *(({"name": name}, HIDDEN, {**SDE, "noise_level": 0}, "/sampler/noise_level", f"above 0, and more than rounding: {name} needs")
      for name in ("fk", "svdd", "das", "guided_smc", "doob")),
    ({"name": "fk"}, HIDDEN, {**SDE, "name": "memoryless", "noise_level": 0}, "/sampler/noise_level", "stay the same"),
    ({"name": "euphonium", "beta": 1.0}, SOFT, {**SDE, "noise_level": 0}, "/sampler/noise_level", "stay the same"),
    ({"name": "doob", "window": {"begin": 20}}, HIDDEN, SDE, "/steering/0/window/begin", "19"),
    ({"name": "dps"}, None, SDE, "/rewards", "is empty")], ids=str)
def test_what_cannot_work_is_refused_by_name(tmp_path, entry, reward, sampler, place, says):
    done = run(tmp_path / "run", [entry], [reward] if reward else [], sampler)
    assert done.returncode == 2
    assert place in done.stderr and says in done.stderr, done.stderr
    assert not (tmp_path / "run" / "latents.safetensors").exists()
