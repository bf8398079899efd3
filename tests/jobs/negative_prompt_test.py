"""Negative prompts: what guided pictures, rollouts and updates are led away from; refused where nothing is guided."""

import json

import pytest
from base_jobs import base_jobs
from job_errors_test import assert_refused
from program import run_job, thalweg, validated, write_job
from resuming import METHODS, make_files, rows, short_job

NEGATIVE = "two blue squares"
WORDS = "is read by nothing: this job draws without guidance"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("negative"))


def evaluate_job(files, scales, **keys):
    return {"job": "evaluate", "model": {"path": str(files / "model"), "max_sequence_length": 1},
            "prompts": {"path": str(files / "prompts.txt")}, "size": {"height": 16, "width": 16}, "steps": 3,
            "guidance": [{"guidance_scale": scale} for scale in scales], "rewards": [{"plugin": "color"}], "pictures": 0,
            "parallel": {"workers": 1, "micro_batch": 4}, "seed": 11, **keys}


@pytest.mark.parametrize("kind,key,guided", [
    ("sample", "sampler", {"guidance_scale": 1.01}), ("evaluate", "guidance", [{"guidance_scale": 2.0}]),
    ("align", "sampler", {"guidance_scale": 2.0}), ("align", "evaluate", {"guidance_scale": 2.0}),
    ("align", "evaluate", {"baselines": [{"guidance_scale": 2.0}]})])
def test_refused_where_nothing_is_guided(kind, key, guided, tmp_path):
    job = base_jobs(tmp_path)[kind] | {"negative_prompt": NEGATIVE}
    without = {"sampler": {"guidance_scale": 1.0}, "evaluate": {"guidance_scale": 0.5, "baselines": []}}
    for section, keys in without.items():
        if section in job:
            job[section] = job[section] | keys
    if kind == "evaluate":
        job["guidance"] = [{"guidance_scale": 1.0}, {"guidance_scale": 0.5}]
    assert_refused(validated(write_job(tmp_path / "job.json", job)), "/negative_prompt: ", WORDS)
    assert validated(write_job(tmp_path / "job.json", job | {"negative_prompt": ""})).returncode == 0
    job[key] = job[key] | guided if isinstance(guided, dict) else guided
    done = validated(write_job(tmp_path / "job.json", job))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method,keys", [("tdm", {}), ("tdm_r1", {}), ("dmd2", {}), ("reward_forcing", {}), ("crd", {}),
                                         ("guidance_distill", {"guidance": {"scale": 2.0}})])
def test_a_method_may_be_all_that_is_guided(files, tmp_path, method, keys):
    job = short_job(files, method, negative_prompt=NEGATIVE, method={**METHODS[method]["method"], **keys})
    job = {**job, "output": str(tmp_path / "run")}
    done = validated(write_job(tmp_path / "job.json", job))
    assert done.returncode == 0, done.stderr
    key = "kl_guidance" if method == "crd" else "guidance_scale"
    if method in ("guidance_distill", "tdm_r1"):
        return
    job["method"] = {**job["method"], key: 1.0}
    assert_refused(validated(write_job(tmp_path / "job.json", job)), "/negative_prompt: ", WORDS)


def test_evaluations_and_rollouts_are_led_away_from_it(files, tmp_path):
    def evaluations(name, **keys):
        result = json.loads((run_job(tmp_path / name, evaluate_job(files, [1.0, 3.0], **keys)) / "result.json").read_text())
        return [row["reward"] for row in result["evaluations"]]

    plain, empty, led = evaluations("plain"), evaluations("empty", negative_prompt=""), evaluations("led", negative_prompt=NEGATIVE)
    assert plain == empty
    assert led[0] == plain[0] and led[1] != plain[1]  # the first is not guided

    # The same in `align`, before anything is trained; its rollouts change too.
    before, train = first_iteration(files, tmp_path / "align", "diffusion_nft", 3.0)
    before_led, train_led = first_iteration(files, tmp_path / "align-led", "diffusion_nft", 3.0, negative_prompt=NEGATIVE)
    assert (before, before_led) == (plain[1], led[1])
    assert train["reward"] != train_led["reward"]


def first_iteration(files, folder, name, guidance_scale, **keys):
    """The held-out reward before training, and the metrics of the one iteration."""
    job = short_job(files, name, iterations=1, **{**keys, "sampler": {"guidance_scale": guidance_scale}})
    job["evaluate"] = {"every": 1, "steps": 3, "pictures": 0, "guidance_scale": 3.0}
    run_job(folder, job)
    training = next(row for row in rows(folder / "metrics.jsonl") if row["kind"] == "train")
    return json.loads((folder / "result.json").read_text())["eval"]["reward"]["before"], training


def test_updates_are_led_away_from_what_led_the_rollouts(files, tmp_path):
    """One with the empty prompt would replay other transitions than were drawn."""
    _, replayed = first_iteration(files, tmp_path / "grpo", "flow_grpo", 3.0, negative_prompt=NEGATIVE)
    _, other = first_iteration(files, tmp_path / "grpo-empty", "flow_grpo", 3.0)
    assert replayed["reward"] != other["reward"]
    assert replayed["ratio_dev_first_step"] < 1e-5


def test_an_update_is_led_away_from_it_where_rollouts_are_not(files, tmp_path):
    """crd draws without guidance here, so both runs have the same rollouts; its teacher is guided."""
    _, empty = first_iteration(files, tmp_path / "empty", "crd", 1.0)
    _, led = first_iteration(files, tmp_path / "led", "crd", 1.0, negative_prompt=NEGATIVE)
    assert empty["reward"] == led["reward"] and empty["policy_loss"] == led["policy_loss"]
    assert empty["kl_loss"] != led["kl_loss"]


def test_a_run_goes_on_only_with_the_same_negative_prompt(files, tmp_path):
    job = short_job(files, "diffusion_nft", iterations=1, negative_prompt=NEGATIVE)
    job["evaluate"] = {"every": 1, "steps": 2, "pictures": 0}
    run = run_job(tmp_path / "run", job)
    job["iterations"] = 2
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "negative_prompt": "a", "output": str(run)}))
    assert_refused(done, "/output: ", "/negative_prompt is")
