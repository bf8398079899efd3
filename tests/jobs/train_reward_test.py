"""The `train_reward` job: what it leaves, what it refuses, that a killed run goes on, and that steering by what it
learned meets the closed form on a model whose truth is known."""

import json
import math
import shutil
import signal
import time

import pytest
from laboratory import LABORATORY
from program import thalweg, validated, write_job
from resuming import differences, finish, make_files, results, start

NETWORKS = {"backbone": {"name": "backbone", "depth": 1, "rank": 2}, "own": {"name": "own", "width": 8, "blocks": 1, "layers": 1}}


def reward_job(files, network="backbone", **sections):
    prompts = str(files / "prompts.txt")
    job = {"job": "train_reward", "model": {"path": str(files / "model"), "max_sequence_length": 1},
           "prompts": {"train": prompts, "select": prompts, "eval": prompts},
           "sampler": {"name": "memoryless", "steps": 3, "height": 16, "width": 16}, "rewards": [{"plugin": "color"}],
           "learner": {"name": "latent_process", "network": {**NETWORKS[network], "head": {"width": 16, "heads": 2}},
                       "prompts_per_iteration": 2, "group_size": 4, "pool": 24, "updates": 3, "batch_size": 8},
           "optimizer": {"learning_rate": 0.01, "schedule": "cosine"}, "ema_decay": 0.9, "iterations": 6,
           "evaluate": {"every": 2, "group_size": 4, "levels": 3}, "checkpoint": {"every": 1, "keep": 2},
           "parallel": {"workers": 1, "lanes": 2, "micro_batch": 4}, "seed": 5}
    for key, value in sections.items():
        job[key] = {**job[key], **value} if isinstance(value, dict) else value
    return job


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("train_reward"))


@pytest.fixture(scope="module", params=list(NETWORKS))
def whole(request, files):
    folder = files / f"whole-{request.param}" / "run"
    started = time.monotonic()
    finish(folder, reward_job(files, request.param))
    return request.param, folder, time.monotonic() - started


def test_what_it_leaves(whole):
    network, folder, _ = whole
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "succeeded" and result["loss"] == "soft_value" and result["skipped_updates"] == 0
    assert [level["sigma"] for level in result["held_out"]["levels"]] == [0.25, 0.5, 0.75]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["pool"] for row in rows if row["kind"] == "train"] == [8, 16, 24, 24, 24, 24]
    assert all("group_rank_correlation_0.5" in row for row in rows if row["kind"] == "eval" and row["step"] > 0)
    config = json.loads((folder / "process_reward" / "config.json").read_text())
    assert config["network"] == network and config["latent_channels"] == 4 and config["scale"] == pytest.approx(0.1)
    assert "Rank correlation" in (folder / "report.html").read_text()


def test_steering_follows_it(whole, files, tmp_path):
    _, folder, _ = whole
    reward = {"plugin": "latent_prm", "config": {"path": str(folder / "process_reward")}, "use": "process"}
    job = {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"texts": ["a red circle"]},
           "sampler": {"name": "memoryless", "steps": 3, "height": 16, "width": 16}, "rewards": [reward, {"plugin": "color"}],
           "save_images": False}
    for steering in ({"name": "flow_nrg", "lambda": 10.0}, {"name": "svdd", "candidates": 2, "value": "noisy_latents"}):
        out = tmp_path / steering["name"]
        done = thalweg("run", write_job(tmp_path / "job.json", {**job, "steering": [steering], "output": str(out)}))
        assert done.returncode == 0, done.stdout + done.stderr
        cost = json.loads((out / "result.json").read_text())["steering"]
        assert cost["network_evaluations"] > 0 and cost["reward_calls"] > 0
    # The clean estimate is judged by rewards of frames: a process reward alone guides nothing.
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "steering": [{"name": "dps"}], "output": str(tmp_path / "dps")}))
    assert done.returncode == 2 and "/rewards/0/use" in done.stderr


def test_killed_runs_equal_the_uninterrupted_one(whole, files, tmp_path):
    network, folder, seconds = whole
    job, hits = reward_job(files, network), 0
    for number in range(12):
        run = tmp_path / str(number) / "run"
        process = start(run, job)
        time.sleep(seconds * (0.3 + 0.05 * number))
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed = not (run / "result.json").exists() or json.loads((run / "result.json").read_text()).get("status") != "succeeded"
        if not killed or not list(run.glob("checkpoint-*")):
            continue
        hits += 1
        finish(run, job)
        assert differences(results(folder), results(run)) == []
        if hits == 3:
            return
    assert hits > 0, "no kill came in time"


def test_workers_change_nothing(whole, files, tmp_path):
    network, folder, _ = whole
    finish(tmp_path / "run", reward_job(files, network, parallel={"workers": 2}))
    assert [(tmp_path / "run" / "process_reward" / "model.safetensors").read_bytes()] == \
        [(folder / "process_reward" / "model.safetensors").read_bytes()]


@pytest.mark.parametrize("loss", ["regression", "bradley_terry"])
def test_other_losses(loss, files, tmp_path):
    finish(tmp_path / "run", reward_job(files, learner={**reward_job(files)["learner"], "loss": {"name": loss}, "states": "rollout"}))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["loss"] == loss and math.isfinite(result["held_out"]["group_rank_correlation"])


def refused(tmp_path, job):
    done = validated(write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "out")}))
    assert done.returncode == 2
    return done.stderr


def test_refuses_what_cannot_be(files, tmp_path):
    learner = reward_job(files)["learner"]
    wrong = [({"learner": {**learner, "network": {"name": "backbone", "depth": 3}}}, "/learner/network/depth", "2 blocks"),
             ({"model": {"path": str(LABORATORY / "line")}}, "/learner/network", "GaussianMixturePipeline"),
             ({"learner": {**learner, "batch_size": 7}}, "/learner/batch_size", "must be even"),
             ({"learner": {**learner, "pool": 4}}, "/learner/pool", "must hold one rollout"),
             ({"learner": {**learner, "network": {"name": "own", "width": 12}}}, "/learner/network/width", "multiple of 8"),
             ({"learner": {**learner, "name": "latent"}}, "/learner/name", "latent_process"),
             ({"rewards": [{"plugin": "color", "use": "process"}]}, "/rewards/0/use", "process"),
             ({"rewards": [{"plugin": "color", "weight": 0.0}]}, "/rewards", "no outcome"),
             ({"rewards": []}, "/rewards", "no reward"),
             ({"optimizer": {"offload": True}}, "/optimizer/offload", "leave it out"),
             ({"prompts": {"train": "nowhere.txt"}}, "/prompts/train", "nowhere.txt")]
    for changes, place, words in wrong:
        said = refused(tmp_path, reward_job(files, **changes))
        assert place in said and words in said, said


def test_a_folder_of_another_model_is_refused(whole, files, tmp_path):
    network, folder, _ = whole
    if network != "backbone":
        return
    shutil.copytree(folder / "process_reward", tmp_path / "reward")
    reward = {"plugin": "latent_prm", "config": {"path": str(tmp_path / "reward"), "model": "assets/models/tiny-sd3"}, "use": "process"}
    job = {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"texts": ["x"]},
           "sampler": {"name": "memoryless", "steps": 3, "height": 16, "width": 16}, "rewards": [reward],
           "steering": [{"name": "flow_nrg"}], "output": str(tmp_path / "out")}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and "/rewards/0/config/path" in done.stderr and "sha256" in done.stderr


def test_the_soft_value_tilts_the_law(tmp_path):
    """The laboratory's line, r = 1.2 x_0, tau = 1: steered by the gradient of what was learned, samples have the tilted law."""
    from safetensors.numpy import load_file

    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"sample {i}\n" for i in range(64)))
    job = {"job": "train_reward", "model": {"path": str(LABORATORY / "line")},
           "prompts": {part: str(prompts) for part in ("train", "select", "eval")},
           "sampler": {"name": "memoryless", "steps": 50, "height": 1, "width": 1},
           "rewards": [{"plugin": "analytic", "config": {"kind": "linear", "scale": 1.2}}],
           "learner": {"name": "latent_process", "loss": {"name": "soft_value", "temperature": 1.0},
                       "network": {"name": "own", "width": 32, "blocks": 1, "layers": 0, "words": 1,
                                   "head": {"width": 64, "heads": 1, "pool": "mean"}},
                       "prompts_per_iteration": 64, "group_size": 32, "pool": 65536, "updates": 50, "batch_size": 256},
           "optimizer": {"learning_rate": 3e-3, "schedule": "cosine"}, "ema_decay": 0.99, "iterations": 32,
           "evaluate": {"every": 32, "group_size": 16}, "checkpoint": {"every": 32},
           "parallel": {"workers": 2, "micro_batch": 256}, "seed": 1}
    finish(tmp_path / "run", job)
    result = json.loads((tmp_path / "run" / "result.json").read_text())["held_out"]
    ranks = [level["rank_correlation"] for level in result["levels"]]
    assert ranks == sorted(ranks, reverse=True) and ranks[0] > 0.95
    steered = {"job": "sample", "model": job["model"], "prompts": {"texts": [""]}, "images_per_prompt": 4000,
               "sampler": {"name": "memoryless", "steps": 100, "height": 1, "width": 1}, "save_images": False, "save_latents": True,
               "steering": [{"name": "flow_nrg", "lambda": 1.0}], "parallel": {"micro_batch": 2000}, "seed": 0,
               "rewards": [{"plugin": "latent_prm", "config": {"path": str(tmp_path / "run" / "process_reward")}}],
               "output": str(tmp_path / "steered")}
    done = thalweg("run", write_job(tmp_path / "steered.json", steered))
    assert done.returncode == 0, done.stdout + done.stderr
    x = load_file(tmp_path / "steered" / "latents.safetensors")["latents"].ravel()
    # The model's own mean is -0.5.
    assert abs(x.mean() - 0.969) < 0.08 and abs(x.var() - 0.517) < 0.12
