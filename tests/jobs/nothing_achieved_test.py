"""A run that has nothing to show for itself says so, and does not pass for one that has."""

import json

import pytest
import tiny_sd3
import torch
from parity_tool import BUILD
from program import thalweg, write_job
from resuming import finish, rows, short_job
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nothing")
    tiny_sd3.make_folder(folder / "model", seed=80)
    (folder / "prompts.txt").write_text("a red circle\ntwo blue squares\na big green triangle\n")
    (folder / "others.txt").write_text("a yellow star\na red circle\n")
    torch.manual_seed(0)
    save_file({"frames": torch.rand(2, 1, 3, 8, 8)}, folder / "frames.safetensors")
    return folder


def broken(**keys):
    return {"plugin": str(BUILD / "tests/plugins/error_always.so"), "isolation": "inproc", **keys}


def job_of(kind, files, rewards):
    model = {"model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"texts": ["a", "b"]}}
    size = {"height": 16, "width": 16}
    return {"score": {"job": "score", "frames": str(files / "frames.safetensors"), "prompts": {"texts": ["a", "b"]}},
            "evaluate": {"job": "evaluate", **model, "size": size, "steps": 2},
            "sample": {"job": "sample", **model, "sampler": {"steps": 2, **size}},
            "steered": {"job": "sample", **model, "sampler": {"name": "flow_sde", "steps": 4, **size},
                        "steering": [{"name": "fk", "particles": 4, "interval": 1}]}}[kind] | {"rewards": rewards}


def fails(folder, job):
    """The run's error line and its result.json."""
    done = thalweg("run", write_job(folder.parent / "job.json", {**job, "output": str(folder)}))
    assert done.returncode == 2, done.stdout + done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "failed"
    return done.stderr.splitlines()[-1], result


@pytest.mark.parametrize("kind", ["score", "evaluate", "sample", "steered"])
def test_nothing_scored(kind, files, tmp_path):
    said, result = fails(tmp_path / "run", job_of(kind, files, [broken()]))
    assert said.startswith("thalweg: /rewards: not one sample was scored") and result["error"]["param"] == "/rewards"
    assert result["reward_failures"][0]["reason"] == "device failure: the lamp is out"  # what there is stays
    assert (tmp_path / "run/events.jsonl").read_text() != ""
    if kind in ("sample", "steered"):
        assert (tmp_path / "run/samples/00000.png").exists() and not (tmp_path / "run/parts").exists()


def test_nothing_scored_by_what_is_watched_alone(files, tmp_path):
    said, _ = fails(tmp_path / "run", job_of("score", files, [broken(use="watch")]))
    assert "not one sample was scored" in said


def test_one_reward_of_two_is_something(files, tmp_path):
    said = finish(tmp_path / "run", job_of("score", files, [{"plugin": "color"}, broken(use="watch")]))
    assert "error_always/square  not scored" in said


def test_steered_by_nothing(files, tmp_path):
    """The samples have scores, from another reward than the one that was to lead them."""
    said, result = fails(tmp_path / "run", job_of("steered", files, [{"plugin": "color"}, broken(use="guide")]))
    assert said.startswith("thalweg: /steering: not one of the ") and "not steered" in said
    steering = result["steering"]
    assert steering["rewards_not_scored"] == steering["reward_calls"] > 0


@pytest.mark.parametrize("rewards", [[{"plugin": "color", "weight": 0}], [{"plugin": "color", "use": "watch"}],
                                     [{"plugin": "color", "dimensions": {"redness": 0}}]])
def test_training_on_nothing_is_refused_at_once(rewards, files, tmp_path):
    job = {**short_job(files, "flow_grpo"), "rewards": rewards, "output": str(tmp_path / "run")}
    for command in ("validate", "run"):
        done = thalweg(command, write_job(tmp_path / "job.json", job))
        assert done.returncode == 2 and "/rewards: trains on nothing" in done.stderr


def test_a_metric_without_a_value_ends_the_run_before_it_trains(files, tmp_path):
    job = short_job(files, "flow_grpo", evaluate={"metric": "error_always/square"})
    job["rewards"] = [{"plugin": "color"}, broken(use="watch")]
    said, result = fails(tmp_path / "run", job)
    assert said.startswith("thalweg: /evaluate/metric: error_always/square has no value on the prompts of /prompts/select")
    assert "the lamp is out" in said and not list((tmp_path / "run").glob("checkpoint-*"))


def test_prompts_that_are_not_held_out_are_named_once(files, tmp_path):
    prompts = {"train": str(files / "prompts.txt"), "select": str(files / "others.txt"), "eval": str(files / "others.txt")}
    folder = tmp_path / "run"
    said = finish(folder, short_job(files, "flow_grpo", prompts=prompts, iterations=2))
    words = ("1 of the 2 of /prompts/eval are in /prompts/train, 2 of the 2 of /prompts/eval are in /prompts/select, "
             "1 of the 2 of /prompts/select are in /prompts/train")
    assert words in said and words in json.loads((folder / "result.json").read_text())["prompts_shared"]
    assert words in (folder / "report.html").read_text()
    finish(folder, short_job(files, "flow_grpo", prompts=prompts, iterations=3))
    (event,) = [row for row in rows(folder / "events.jsonl") if row["type"] == "prompts_shared"]
    assert event["step"] == 0 and event["data"] == {"eval_in_train": 1, "eval_in_select": 2, "select_in_train": 1}
