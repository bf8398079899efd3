"""Jobs of assets/jobs that say what a paper's authors trained with: every number of theirs, defaults of the program among them."""

import json

import make_job_reference as make
import pytest
from job_schema import expanded
from make_job_reference import ROOT

# Of the scripts and configurations that the authors trained with: flow_grpo's pickscore_sd3_fast_nocfg (32 GPUs),
# finetune_flux_grpo.sh of DanceGRPO (16), finetune_flux_grpo_MixGRPO.sh (32). A rollout of 16 groups of 12, each on a GPU of its own and
# four samples an update, has three updates.
PAPERS = {
    "flow_grpo_fast_paper": {
        "/model/lora/rank": 32, "/model/lora/alpha": 64, "/sampler/name": "cps", "/sampler/noise_level": 0.8, "/sampler/steps": 10,
        "/sampler/guidance_scale": 1, "/sampler/height": 512, "/sampler/window": {"policy": "random", "begin": 0, "size": 3, "until": 5},
        "/method/prompts_per_iteration": 64, "/method/group_size": 18, "/method/updates": 2, "/method/clip_range": 1e-5,
        "/method/kl_beta": 0, "/method/global_std": True, "/method/adv_clip_max": 5, "/optimizer/learning_rate": 3e-4,
        "/optimizer/weight_decay": 1e-4, "/optimizer/max_grad_norm": 1, "/ema_decay": 0.9, "/evaluate/steps": 40},
    "dance_grpo_paper": {
        "/model/lora": None, "/sampler/name": "dance_sde", "/sampler/noise_level": 0.3, "/sampler/steps": 16, "/sampler/height": 720,
        "/sampler/schedule": {"name": "shifted", "shift": 3}, "/sampler/window/size": 0, "/method/same_noise": True,
        "/method/prompts_per_iteration": 16, "/method/group_size": 12, "/method/updates": 3, "/method/step_fraction": 0.6,
        "/method/clip_range": 1e-4, "/method/kl_beta": 0, "/method/keep": 0, "/method/std/ddof": 1, "/method/std/eps": 1e-8,
        "/method/global_std": False, "/method/adv_clip_max": 5, "/optimizer/learning_rate": 1e-5, "/optimizer/weight_decay": 1e-4,
        "/optimizer/max_grad_norm": 1, "/iterations": 300},
    "mix_grpo_paper": {
        "/model/lora": None, "/sampler/name": "flow_sde", "/sampler/noise_level": 0.7, "/sampler/steps": 25, "/sampler/height": 720,
        "/sampler/schedule": {"name": "shifted", "shift": 3}, "/sampler/tail_ratio": 1,
        "/sampler/window": {"policy": "progressive", "begin": 0, "size": 4, "until": 23, "iterations": 25, "stride": 1},
        "/method/prompts_per_iteration": 32, "/method/group_size": 12, "/method/updates": 4, "/method/same_noise": True,
        "/method/aggregation": {"name": "advantage_sum", "trimmed_ratio": 0}, "/method/clip_range": 1e-4, "/method/kl_beta": 0,
        "/method/std/ddof": 1, "/method/std/eps": 1e-8, "/method/global_std": False, "/method/adv_clip_max": 5,
        "/optimizer/learning_rate": 1e-5, "/optimizer/weight_decay": 1e-4, "/optimizer/max_grad_norm": 1, "/iterations": 300}}


def align_section():
    kinds = expanded(json.loads(make.SCHEMA.read_text()))["oneOf"]
    return next(kind for kind in kinds if kind["properties"]["job"].get("const") == "align")


def chosen(schema, job):
    """Of a section that has kinds, the job's, or the first."""
    def fits(kind):
        return all(job.get(key) == part["const"] for key, part in kind["properties"].items() if "const" in part and key in job)

    return next((kind for kind in schema["oneOf"] if fits(kind)), schema) if "oneOf" in schema else schema


def value_at(job, schema, pointer):
    """With the default where the job does not say it."""
    for key in pointer.split("/")[1:]:
        if job is None:
            return None
        schema = chosen(schema, job)["properties"][key]
        is_section = "properties" in schema or "oneOf" in schema
        job = job.get(key, None if key == "lora" else {} if is_section else schema.get("default"))
    return job


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_job_has_its_settings(name):
    job, schema = json.loads((ROOT / "assets" / "jobs" / f"{name}.json").read_text()), align_section()
    found = {pointer: value_at(job, schema, pointer) for pointer in PAPERS[name]}
    assert found == PAPERS[name]
