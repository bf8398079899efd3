"""Few-step generators as files: what `tdm` exports says its steps and levels, and every job and diffusers heed them."""

import json
import logging
import shutil

import diffusers
import pytest
import tiny_sd3
import torch
from export_test import final_numbers
from pipeline_parity_test import PROMPTS, assert_same, diffusers_pictures, noise_for, thalweg_pictures
from program import run_job, thalweg, validated, write_job
from resuming import METHODS, make_files, short_job

K, SIZE = 4, {"height": 16, "width": 16}
CONFIG, LORA = "scheduler/scheduler_config.json", "pytorch_lora_weights.safetensors"
CALL = {"guidance_scale": 1.0, "tokens": 1, "size": (16, 16), "steps": K}
OPEN = {"name": "flow_ode", **SIZE}  # a sampler without steps and schedule
BLURS = "a denoising loss blurs a few-step generator (TDM-R1, arXiv 2603.07700)"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("few_step"))


def tdm_job(files, kind, shift=1.0, steps=K):
    sampler = {"name": "flow_ode", "steps": steps, "schedule": {"name": "shifted", "shift": shift}, **SIZE}
    job = short_job(files, "tdm", iterations=3, ema_decay=0.0, evaluate={"every": 3, "steps": steps})
    job = {**job, "sampler": sampler, "method": {**job["method"], "regression": {"iterations": 1, "parts": 2, "passes": 1},
                                                 "critic": {"alone": 0}}}
    if kind == "full":
        del job["model"]["lora"]
    return job


@pytest.fixture(scope="module")
def made(files):
    """Generators by kind and shift."""
    runs = {}

    def make(kind, shift=1.0):
        if (kind, shift) not in runs:
            runs[kind, shift] = run_job(files / f"{kind}-{shift}", tdm_job(files, kind, shift))
        return runs[kind, shift]
    return make


def model_of(files, run):
    """The section `model` of a job that draws from what the run exported."""
    lora = {} if (run / "model").exists() else {"lora": {"path": str(run / LORA)}}
    return {"path": str(run / "model" if not lora else files / "model"), "max_sequence_length": 1, **lora}


def pipe_of(files, run):
    if (run / "model").exists():
        return tiny_sd3.load(run / "model")
    pipe = tiny_sd3.load(files / "model")
    pipe.load_lora_weights(str(run / LORA))
    pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(run, subfolder="scheduler")
    return pipe


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def evaluation_job(files, model, **keys):
    return {"job": "evaluate", "model": model, "prompts": {"path": str(files / "prompts.txt")}, "size": SIZE, "pictures": 0,
            "rewards": [{"plugin": "color"}], "parallel": {"workers": 1, "micro_batch": 4}, "seed": 11, **keys}


def sample_job(model, **keys):
    return {"job": "sample", "model": model, "prompts": {"texts": PROMPTS}, "sampler": OPEN, "save_images": False,
            "parallel": {"workers": 1}, **keys}


def planned(folder, job):
    done = thalweg("plan", write_job(folder / "planned.json", {**job, "output": str(folder / "planned")}), "--json", "--estimate")
    assert done.returncode == 0, done.stderr
    return {draw["phase"]: draw["network_evaluations"] / draw["samples"] for draw in json.loads(done.stdout)["draws"]}


def refused(folder, job, *words):
    done = validated(write_job(folder / "job.json", {**job, "output": str(folder / "never")}))
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def accepted(folder, job):
    done = validated(write_job(folder / "job.json", {**job, "output": str(folder / "never")}))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_diffusers_draws_our_pictures_at_its_steps(kind, made, files, tmp_path, caplog):
    """Without `sigmas=`, and without a word about keys of ours."""
    run = made(kind)
    diffusers.utils.logging.enable_propagation()
    with caplog.at_level(logging.WARNING, "diffusers"):
        pipe = pipe_of(files, run)
    assert "_num_inference_steps" not in caplog.text and "'_sigmas'" not in caplog.text
    noise = noise_for(pipe, CALL["size"], len(PROMPTS))
    theirs = diffusers_pictures(pipe, noise, CALL)
    assert pipe.scheduler.sigmas.tolist() == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0], abs=1e-6)
    model = model_of(files, run)
    assert_same(thalweg_pictures(model["path"], noise, CALL, tmp_path, model=model, sampler=OPEN), theirs)
    assert result_of(tmp_path / "out")["steps"] == K and result_of(tmp_path / "out")["steps_from"] == "model"
    assert result_of(run)["generator"] == {"steps": K, "sigmas": [1.0, 0.75, 0.5, 0.25], "needs_sigmas": False,
                                           "diffusers": "pipe(prompt, num_inference_steps=4, guidance_scale=1.0)"}


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_levels_that_diffusers_has_to_be_told(kind, made, files, tmp_path):
    run = made(kind, 3.0)
    generator = result_of(run)["generator"]
    config = json.loads((run / ("model" if kind == "full" else ".") / CONFIG).read_text())
    assert config["_num_inference_steps"] == K and config["_sigmas"] == generator["sigmas"]
    assert generator["sigmas"] == pytest.approx([1.0, 0.9, 0.75, 0.5], abs=1e-12) and generator["needs_sigmas"]
    assert f", sigmas=[{','.join(map(str, generator['sigmas']))}])" in generator["diffusers"]
    pipe = pipe_of(files, run)
    noise = noise_for(pipe, CALL["size"], len(PROMPTS))
    arguments = dict(prompt=PROMPTS, height=16, width=16, guidance_scale=1.0, max_sequence_length=1)
    told = {"num_inference_steps": K, "sigmas": generator["sigmas"]}
    theirs = [pipe(latents=noise.clone(), output_type=kind, **arguments, **told).images for kind in ("latent", "pt")]
    model = model_of(files, run)
    assert_same(thalweg_pictures(model["path"], noise, CALL, tmp_path, model=model, sampler=OPEN), theirs)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_evaluate_has_the_final_numbers_without_steps(kind, shift, made, files, tmp_path):
    """To the last digit, of a LoRA's folder too."""
    run = made(kind, shift)
    model = model_of(files, run)
    models = [model] if kind == "full" else [model, {**model, "lora": {"path": str(run.parent / f"{run.name}-folder")}},
                                             {**{k: v for k, v in model.items() if k != "lora"}, "loras": [model["lora"]]}]
    if kind == "lora":
        folder = run.parent / f"{run.name}-folder"
        if not folder.exists():
            (folder / "scheduler").mkdir(parents=True)
            shutil.copy(run / LORA, folder / LORA)
            shutil.copy(run / CONFIG, folder / CONFIG)
    for number, each in enumerate(models):
        result = result_of(run_job(tmp_path / str(number), evaluation_job(files, each)))
        assert (result["steps"], result["steps_from"]) == (K, "model")
        row = result["evaluations"][0]
        del row["guidance_scale"]
        assert row == final_numbers(run)


def test_plan_counts_its_steps(made, files, tmp_path):
    for run in (made("full"), made("lora")):
        model = model_of(files, run)
        assert planned(tmp_path, sample_job(model)) == {"rollout": K}
        assert planned(tmp_path, evaluation_job(files, model)) == {"rollout": K}
        assert planned(tmp_path, sample_job(model, sampler={**OPEN, "steps": 7})) == {"rollout": 7}
        steered = sample_job(model, rewards=[{"plugin": "color"}], steering=[{"name": "best_of_n", "particles": 2}])
        assert planned(tmp_path, steered) == {"network": 2 * K}
    assert planned(tmp_path, sample_job({"path": str(files / "model"), "max_sequence_length": 1})) == {"rollout": 28}
    # A state is trained by a forward of generator and critic each, and without gradient by one of the critic and a guided one of the teacher.
    assert planned(tmp_path, tdm_job(files, "lora")) == {"rollout": K, "evaluation": K, "training": 5 * K}


def test_steering_takes_its_steps(made, files, tmp_path):
    job = sample_job(model_of(files, made("lora")), rewards=[{"plugin": "color"}],
                     steering=[{"name": "best_of_n", "particles": 2}])
    result = result_of(run_job(tmp_path / "run", job))
    assert result["steps"] == K and result["steering"]["network_evaluations_per_sample"] == 2 * K


def test_another_model_keeps_its_default(files, tmp_path):
    model = {"path": str(files / "model"), "max_sequence_length": 1}
    run = run_job(tmp_path / "run", sample_job(model))
    assert (result_of(run)["steps"], result_of(run)["steps_from"]) == (28, "default")
    assert json.loads((run / "job.json").read_text())["sampler"]["steps"] == 28
    result = result_of(run_job(tmp_path / "few", sample_job(model, sampler={**OPEN, "steps": 2})))
    assert (result["steps"], result["steps_from"]) == (2, "job")


@pytest.mark.parametrize("change,warned", [({"steps": 6}, True), ({"steps": K}, False),
                                           ({"steps": K, "schedule": {"name": "shifted", "shift": 3.0}}, True),
                                           ({"schedule": {"name": "linear"}}, True)])
def test_other_steps_are_taken_with_a_warning(change, warned, made, files, tmp_path):
    model = model_of(files, made("full"))
    for name, job in [("sample", sample_job(model, sampler={**OPEN, **change}, rewards=[{"plugin": "color"}])),
                      ("evaluate", evaluation_job(files, model, **change))]:
        run = run_job(tmp_path / name, job)
        events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
        found = [event for event in events if event["type"] == "generator_steps"]
        assert len(found) == warned and all(event["level"] == "warn" for event in found)
        assert result_of(run)["steps"] == change.get("steps", 28)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_checkpoint_is_exported_with_its_steps(kind, made, tmp_path):
    run = made(kind)
    done = thalweg("export", run, "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    where = "model" if kind == "full" else "."
    assert (tmp_path / "out" / where / CONFIG).read_bytes() == (run / where / CONFIG).read_bytes()


def align_job(files, model, method, **sections):
    job = short_job(files, method, iterations=2, **sections)
    lora = {"lora": {"rank": 4, **model.get("lora", {})}}
    return {**job, "model": {**model, **lora}, "evaluate": {"every": 2, "steps": K, "pictures": 0},
            "sampler": {**job["sampler"], "schedule": {"name": "model"}}}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_what_may_train_a_generator(kind, method, made, files, tmp_path):
    """Decided by what the method is, not by names: a transition loop may, where the steps are the generator's."""
    job = align_job(files, model_of(files, made(kind)), method)
    done = validated(write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "never")}))
    if done.returncode == 0:
        refused(tmp_path, {**job, "sampler": {**job["sampler"], "steps": 5}}, "/sampler/steps: must be 4")
        shifted = {"name": "shifted", "shift": 2.0}
        refused(tmp_path, {**job, "sampler": {**job["sampler"], "schedule": shifted}}, "/sampler/schedule: ")
        refused(tmp_path, {**job, "method": {**job["method"], "force": True}}, "/method/force")
    elif BLURS in done.stderr:
        refused(tmp_path, job, "/method/name: ", "scheduler_config.json")
        accepted(tmp_path, {**job, "method": {**job["method"], "force": True}})
        accepted(tmp_path, align_job(files, {"path": str(files / "model")}, method))
    else:
        refused(tmp_path, job, "/method/name: ", "needs a teacher of many steps", "scheduler_config.json")
        if kind == "lora":  # the base is a teacher; its levels have to be named
            even = {"schedule": {"name": "shifted", "shift": 1.0}}
            accepted(tmp_path, {**job, "reference": "base", "sampler": {**job["sampler"], **even}})
        else:
            refused(tmp_path, {**job, "reference": "base"}, "/method/name: ")


def test_a_generator_stays_one(made, files, tmp_path):
    """Aligned on its own steps, which the job need not say; what is exported says them again."""
    first = made("lora")
    job = align_job(files, model_of(files, first), "flow_grpo")
    for section in (job["sampler"], job["evaluate"]):
        del section["steps"]
    run = run_job(tmp_path / "run", job)
    resolved = json.loads((run / "job.json").read_text())
    assert resolved["sampler"]["steps"] == resolved["evaluate"]["steps"] == K
    assert json.loads((run / CONFIG).read_text()) == json.loads((first / CONFIG).read_text())
    result = result_of(run_job(tmp_path / "evaluation", evaluation_job(files, model_of(files, run))))
    assert result["evaluations"][0]["reward"] == result_of(run)["eval"]["reward"]["after"] and result["steps"] == K


def test_what_is_evaluated_is_what_is_exported(files, tmp_path):
    job = tdm_job(files, "lora")
    refused(tmp_path, {**job, "evaluate": {"every": 3, "steps": 5}}, "/evaluate/steps: must be /sampler/steps, 4")
    del job["evaluate"]["steps"]
    assert planned(tmp_path, job)["evaluation"] == K


@pytest.mark.parametrize("change,word", [
    ({"_num_inference_steps": -1}, "_num_inference_steps"), ({"_num_inference_steps": 1001}, "_num_inference_steps"),
    ({"_num_inference_steps": 1.5}, "_num_inference_steps"), ({"_sigmas": [1.0, 0.5, 0.5, 0.2]}, "must fall"),
    ({"_sigmas": [1.0, 0.5, 0.2]}, "must have 4 levels"), ({"_sigmas": [1.0, 0.75, 0.5, 0.0]}, "_sigmas[3]"),
    ({"_sigmas": [1.0, 0.75, 0.5, -0.1]}, "_sigmas[3]"), ({"_sigmas": [1.0, 0.75, float("nan"), 0.25]}, "JSON"),
    ({"_num_inference_steps": None}, "has no meaning without"), ({"_class_name": "HeunDiscreteScheduler"}, "is read of")])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_config_that_cannot_be_is_refused_by_its_name(kind, change, word, made, files, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made(kind), run)
    config = run / ("model" if kind == "full" else ".") / CONFIG
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    model = model_of(files, run)
    explicit = {**OPEN, "steps": 3, "schedule": {"name": "linear"}}
    for job in (sample_job(model), evaluation_job(files, model), align_job(files, model, "flow_grpo")):
        refused(tmp_path, job, str(config.name), word)
    done = thalweg("run", write_job(tmp_path / "job.json", {**sample_job(model, sampler=explicit), "output": str(tmp_path / "out")}))
    assert done.returncode == 2 and config.name in done.stderr


def test_loras_of_different_generators(made, files, tmp_path):
    loras = [{"path": str(made("lora", shift) / LORA), "weight": 0.5} for shift in (1.0, 3.0)]
    model = {"path": str(files / "model"), "max_sequence_length": 1}
    refused(tmp_path, sample_job({**model, "loras": loras}), "/model/loras: are of generators of different steps")
    accepted(tmp_path, sample_job({**model, "loras": loras[:1] * 2}))


def test_the_laboratory_says_its_steps_too(tmp_path):
    """A mixture's own grid ends with the same even steps; shifted ones are named."""
    import laboratory
    for shift in (1.0, 3.0):
        sampler = {"name": "flow_ode", "steps": K, "schedule": {"name": "shifted", "shift": shift}, **laboratory.VIDEO}
        method = {"name": "tdm", "prompts_per_iteration": 4, "updates": 1, "guidance_scale": 1.0, "critic": {"alone": 0}}
        job = laboratory.align_job(tmp_path, iterations=2, sampler=sampler, method=method, evaluate={"every": 2},
                                   checkpoint={"every": 2})
        run = run_job(tmp_path / f"run-{shift}", job)
        evaluation = {"job": "evaluate", "model": {"path": str(run / "model")}, "prompts": {"path": job["prompts"]["eval"]},
                      "size": laboratory.VIDEO, "rewards": job["rewards"], "seed": job["seed"], "pictures": 0,
                      "parallel": job["parallel"]}
        result = result_of(run_job(tmp_path / f"evaluation-{shift}", evaluation))
        assert result["steps"] == K
        assert result["evaluations"][0]["reward"] == result_of(run)["eval"]["reward"]["after"]
