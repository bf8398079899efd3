"""A generator that exists goes on learning from the model that it was distilled from: `/method/teacher`."""

import json
import shutil

import pytest
import tiny_sd3
from job_errors_test import assert_refused
from program import run_job, thalweg, write_job
from resuming import make_files, rows, short_job


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = make_files(tmp_path_factory.mktemp("teacher"))
    tiny_sd3.make_folder(folder / "other", seed=5)  # of the same architecture
    tiny_sd3.make_folder(folder / "wide", seed=5, first={"projection": 28})
    return folder


def job_of(files, method, model, teacher, **sections):
    """All weights; critic and policy stand still, and no guidance: the gap is that of the two models."""
    job = short_job(files, method, iterations=1, evaluate={"every": 1, "steps": 4, "pictures": 0}, **sections)
    job["model"] = {"path": str(files / model), "max_sequence_length": 1}
    job["optimizer"] = {"learning_rate": 0.0}
    job["method"] = {**job["method"], "teacher": str(teacher), "guidance_scale": 1.0,
                     "critic": {"alone": 0, "optimizer": {"learning_rate": 1e-30}},  # of 0 some say that it is none
                     **({"regression": {}} if method in ("tdm", "dmd2") else {})}
    return job


def gap(folder, job):
    return next(row["matching_gap"] for row in rows(run_job(folder, job) / "metrics.jsonl") if row["kind"] == "train")


@pytest.mark.parametrize("method", ["tdm", "tdm_r1", "dmd2", "reward_forcing"])
def test_the_teacher_is_that_folders_model(method, files, tmp_path):
    assert gap(tmp_path / "same", job_of(files, method, "model", files / "model")) < 1e-6
    assert gap(tmp_path / "other", job_of(files, method, "model", files / "other")) > 1e-3


def test_of_a_lora_it_is_its_backbone(files, tmp_path):
    job = short_job(files, "tdm", iterations=2, evaluate={"every": 2, "steps": 4, "pictures": 0}, ema_decay=0.0)
    job["optimizer"] = {"learning_rate": 0.1}
    lora = run_job(tmp_path / "first", job) / "pytorch_lora_weights.safetensors"

    def still(**method):
        again = job_of(files, "tdm", "model", files / "model", ema_decay=0.0)
        again["model"]["lora"] = {"path": str(lora), "rank": 4}
        again["method"].update(method)
        return again

    assert gap(tmp_path / "base", still()) > 1e-4  # the critic is the LoRA, the teacher is not

    def refused(job, place, words):
        assert_refused(thalweg("run", write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "refused")})), place, words)

    refused(still(teacher=""), "/method/name", "needs a teacher of many steps")  # the reference is the generator
    refused(still(teacher=str(files / "other")), "/method/teacher", "roles of a LoRA")


def test_a_teacher_that_does_not_fit_is_refused(files, tmp_path):
    shutil.copytree(files / "other", tmp_path / "headless")
    (tmp_path / "headless/model_index.json").unlink()
    for teacher, words in [(files / "nowhere", "does not exist"), (tmp_path / "headless", "does not exist"),
                           (files / "wide", "another architecture")]:
        job = job_of(files, "tdm", "model", teacher)
        assert_refused(thalweg("run", write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "out")})), "/method/teacher",
                       words)


def test_a_run_does_not_go_on_with_another_teacher(files, tmp_path):
    job = job_of(files, "tdm", "model", files / "other")
    folder = run_job(tmp_path / "run", job)
    longer = {**job, "iterations": 2, "output": str(folder)}
    longer["method"] = {**job["method"], "teacher": str(files / "model")}
    said = thalweg("run", write_job(tmp_path / "again.json", longer))
    assert said.returncode == 2 and "/method/teacher" in said.stderr, said.stderr
    assert json.loads((folder / "result.json").read_text())["status"] == "succeeded"
