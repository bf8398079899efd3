"""What a run from a LoRA is held against: the model as the job loads it, or, when asked for, the base without it."""

import json

import pytest
from program import thalweg, write_job
from resuming import METHODS, finish, make_files, rows, short_job


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """With lora.safetensors, an adapter of rank 4 that draws other pictures than the base."""
    folder = make_files(tmp_path_factory.mktemp("reference"))
    job = short_job(folder, "flow_grpo", iterations=2, evaluate={"every": 2}, optimizer={"learning_rate": 0.1})
    finish(folder / "first" / "run", job)
    (folder / "first/run/pytorch_lora_weights.safetensors").rename(folder / "lora.safetensors")
    return folder


# What measures the distance from the reference where it is no plain KL term: crd's is guided, that of pairs is their loss.
NEAR_REFERENCE = {"crd": {"kl_beta": 0.01, "kl_guidance": 1.0}, "flow_dpo": {}, "mah_dpo": {}, "guidance_to_policy": {},
                  "refl": {}, "draft": {}, "adjoint_matching": {},
                  "tdm": {"guidance_scale": 1.0, "regression": {}, "critic": {"alone": 0, "optimizer": {"learning_rate": 0.0}}},
                  "tdm_r1": {"critic": {"alone": 0, "optimizer": {"learning_rate": 0.0}}},
                  **{name: {"guidance_scale": 1.0, "regression": {}, "critic": {"alone": 0, "optimizer": {"learning_rate": 1e-30}}}
                     for name in ("dmd2", "reward_forcing")},
                  "guidance_distill": {}}
DISTANCE = {"flow_dpo": "implicit_margin", "mah_dpo": "implicit_margin", "tdm": "matching_gap", "tdm_r1": "matching_gap",
            "dmd2": "matching_gap",
            "reward_forcing": "matching_gap", "guidance_to_policy": "distilled", "guidance_distill": "distilled", "adjoint_matching": "control", "refl": None, "draft": None}  # nothing holds the last to it


def still_job(files, method, **sections):
    """From the LoRA, with learning rate 0: nothing may move."""
    job = short_job(files, method, model={"lora": {"path": str(files / "lora.safetensors"), "rank": 6}}, iterations=2,
                    evaluate={"every": 1, "baselines": [{"guidance_scale": 1.0}]}, **sections)
    job["optimizer"] = {"learning_rate": 0.0}
    job["method"] = {**job["method"], **NEAR_REFERENCE.get(method, {"kl_beta": 0.01})}
    return job


@pytest.mark.parametrize("method", METHODS)
def test_learning_rate_zero_gains_nothing(method, files, tmp_path):
    folder = tmp_path / "run"
    finish(folder, still_job(files, method))
    result = json.loads((folder / "result.json").read_text())
    for entry in result["eval"].values():
        assert (entry["difference"], entry["low"], entry["high"]) == (0.0, 0.0, 0.0)
        assert entry["before"] == entry["after"]
    metrics = rows(folder / "metrics.jsonl")
    evaluations = [{key: value for key, value in row.items() if key != "step"} for row in metrics if row["kind"] == "eval"]
    assert len(evaluations) == 3 and evaluations[0] == evaluations[1] == evaluations[2]
    if (distance := DISTANCE.get(method, "kl_loss")) is not None:
        assert all(abs(row[distance]) < 1e-12 for row in metrics if row["kind"] == "train")
    assert result["baselines"][0]["reward"] == result["eval"]["reward"]["before"] and result["reference"] == "loaded"


def test_the_base_may_be_asked_for(files, tmp_path):
    """Then the run is told what the LoRA gained, and kl_loss is the distance of the LoRA."""
    job = still_job(files, "flow_grpo", reference="base")
    finish(tmp_path / "run", job)
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["eval"]["reward"]["difference"] != 0.0 and result["reference"] == "base"
    assert all(row["kl_loss"] > 1e-8 for row in rows(tmp_path / "run/metrics.jsonl") if row["kind"] == "train")
    bare = {"job": "evaluate", "model": {"path": str(files / "model"), "max_sequence_length": 1},
            "prompts": {"path": str(files / "prompts.txt")}, "size": {"height": 16, "width": 16}, "steps": 3,
            "rewards": [{"plugin": "color"}], "seed": job["seed"], "output": str(tmp_path / "bare")}
    assert thalweg("run", write_job(tmp_path / "bare.json", bare)).returncode == 0
    evaluated = json.loads((tmp_path / "bare/result.json").read_text())["evaluations"][0]["reward"]
    assert evaluated == pytest.approx(result["eval"]["reward"]["before"], abs=1e-9)
