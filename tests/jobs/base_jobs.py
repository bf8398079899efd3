"""A whole job of each kind, to be spoilt one value at a time."""

import copy
import json

from program import ROOT

MISSING = object()  # as a value: leaves the key out


def base_jobs(folder):
    """Jobs by kind whose files exist in `folder`; the model is a folder that is never opened."""
    (folder / "model").mkdir()
    (folder / "model" / "model_index.json").write_text("{}")
    (folder / "lora.safetensors").write_bytes(b"never opened")
    (folder / "prompts.txt").write_text("a red circle\na blue square\n")
    path, prompts = str(folder / "model"), str(folder / "prompts.txt")
    rewards = [{"plugin": "color", "config": {"channel": "red"}, "weight": 2}]
    size = {"height": 16, "width": 16}
    jobs = {
        "sample": {"model": {"path": path, "dtype": "bfloat16", "lora": {"path": str(folder / "lora.safetensors")}},
                   "prompts": {"texts": ["a red circle"]}, "negative_prompt": "",
                   "sampler": {"name": "flow_ode", "steps": 4, "guidance_scale": 4.5, **size},
                   "rewards": rewards, "save_latents": True},
        "score": {"frames": prompts, "prompts": {"path": prompts, "limit": 2}, "rewards": rewards, "batch_size": 4},
        "evaluate": {"model": {"path": path, "loras": [{"path": str(folder / "lora.safetensors")}]},
                     "prompts": {"path": prompts}, "size": size, "steps": 4,
                     "guidance": [{"guidance_scale": 1.0}, {"guidance_scale": 2.5}], "rewards": rewards},
        "align": {"model": {"path": path, "lora": {"rank": 4, "alpha": 8, "targets": ["attn.to_q"]}},
                  "prompts": {"train": prompts, "select": prompts, "eval": prompts},
                  "sampler": {"name": "flow_sde", "steps": 6, "noise_level": 0.7, **size,
                              "window": {"begin": 0, "size": 2, "policy": "random"}},
                  "rewards": rewards, "combine": {"name": "weighted"},
                  "method": {"name": "flow_grpo", "prompts_per_iteration": 2, "group_size": 4, "clip_range": 1e-4},
                  "optimizer": {"name": "adamw", "learning_rate": 3e-4, "schedule": "cosine"},
                  "iterations": 2, "evaluate": {"every": 1, "baselines": [{"guidance_scale": 2.0}]},
                  "checkpoint": {"every": 1, "keep": 2}, "parallel": {"workers": 1, "lanes": 2, "micro_batch": 4}},
        "train_reward": {"model": {"path": path}, "prompts": {"train": prompts, "select": prompts, "eval": prompts},
                         "sampler": {"name": "memoryless", "steps": 6, **size}, "rewards": rewards,
                         "learner": {"name": "latent_process", "loss": {"name": "soft_value", "temperature": 0.1},
                                     "network": {"name": "own", "head": {"pool": "mean"}}},
                         "iterations": 2, "evaluate": {"every": 1}, "checkpoint": {"every": 1, "keep": 2}},
        "pretrain": json.loads((ROOT / "assets" / "jobs" / "pretrain_tiny_sd3.json").read_text()),
    }
    return {kind: {**job, "version": 1, "job": kind, "seed": 3, "output": str(folder / "out")}
            for kind, job in jobs.items()}


def changed(job, pointer, value):
    """The job with `value` at a JSON pointer; objects on the way are made, MISSING removes."""
    job = copy.deepcopy(job)
    place, keys = job, pointer.split("/")[1:]
    for key in keys[:-1]:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    key = int(keys[-1]) if isinstance(place, list) else keys[-1]
    if value is MISSING:
        del place[key]
    elif isinstance(place, list) and key == len(place):
        place.append(value)
    else:
        place[key] = value
    return job
