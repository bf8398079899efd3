"""Steering the embedded model by the process reward that assets/jobs/train_reward_tiny.json learns, at equal compute: against
the model alone and best-of-N, mean and paired interval over held-out prompts.

    build/release/thalweg run assets/jobs/train_reward_tiny.json
    python tests/bench/process_reward.py [--reward runs/train_reward_tiny/process_reward] [--prompts 256] [--write]

Compute is counted as in steering.py, and the process reward besides, as its share of the model's blocks: a value is one forward, a
gradient three (the value, the value again, and back). --write fills docs/process_rewards.md."""

import argparse
import json
import pathlib

import numpy as np

from cells import PROGRAM, ROOT, finished, lines_of, write
from steering import folder_of, interval
from steering_rows import MEMORYLESS, STEPS

SPLITS = {"easy": "assets/prompts/scenes/eval.txt", "hard": "assets/prompts/scenes/hard_eval.txt"}
BLOCKS = 6  # of assets/models/tiny-sd3
MIDDLE = {"begin": 6, "size": 12}  # steps from sigma 0.79 to 0.39: guiding in the others gained nothing


def best_of(n):
    return [{"name": "best_of_n", "particles": n}] if n > 1 else []


def nrg(strength, n=1, **keys):
    return [{"name": "flow_nrg", "lambda": strength, **keys}, *best_of(n)]


def svdd(candidates, **keys):
    return [{"name": "svdd", "candidates": candidates, "value": "noisy_latents", **keys}]


def rows(tau):
    """(name, sampler, steering, values of the process reward for a sample, gradients)."""
    steps = STEPS - 1  # that choose: the last draws no noise
    out = [(f"best_of_n, {n}x" if n > 1 else "memoryless", MEMORYLESS, best_of(n), 0, 0) for n in (1, 2, 3, 4, 8)]
    return out + [
        *[(f"flow_nrg, lambda {k:g}", MEMORYLESS, nrg(k), 0, STEPS) for k in (1 / tau, 2 / tau, 4 / tau)],
        *[(f"flow_nrg, lambda {k:g}, best of 2", MEMORYLESS, nrg(k, 2), 0, 2 * STEPS) for k in (2 / tau, 4 / tau)],
        *[("flow_nrg, lambda 40, steps 6 to 17" + (f", best of {n}" if n > 1 else ""), MEMORYLESS, nrg(4 / tau, n, window=MIDDLE),
           0, 12 * n) for n in (1, 2, 4)],
        ("svdd, 4 candidates", MEMORYLESS, svdd(4, temperature=tau), 4 * steps, 0)]


def cell(arguments, split, name, sampler, steering):
    folder = folder_of(arguments, split, name)
    process = {"plugin": "latent_prm", "config": {"path": str(arguments.reward)}, "use": "process"}
    led = any(s["name"] == "flow_nrg" or s.get("value") == "noisy_latents" for s in steering)
    wanted = {
        "version": 1, "job": "sample",
        "model": {"path": "assets/models/tiny-sd3", "dtype": "bfloat16", "vae_dtype": "bfloat16", "max_sequence_length": 1},
        "prompts": {"path": SPLITS[split], "limit": arguments.prompts},
        "sampler": {**sampler, "steps": STEPS, "height": 64, "width": 64}, "steering": steering,
        "rewards": [{"plugin": "scene", "dimensions": {"soft": 1.0}}, *([process] if led else [])], "save_images": False,
        "parallel": {"micro_batch": 64, "workers": arguments.workers}, "seed": 7, "output": str(folder)}
    result = finished(wanted, folder)
    scored = lines_of(folder / "scores.jsonl")
    cpu = sum(time["cpu_s"] for time in result["time_phases"].values())
    return {"evaluations": result.get("steering", {}).get("network_evaluations_per_sample", STEPS), "cpu_ms": 1e3 * cpu / len(scored),
            **{key: np.array([row[f"scene/{key}"] for row in scored]) for key in ("strict", "soft")}}


def table(arguments, split, tau, depth):
    lines = ["| steering | network evaluations | with the process reward's | CPU ms | `scene/strict` | `scene/soft` | against | difference |",
             "|---" * 8 + "|"]
    best = {}
    for name, sampler, steering, values, gradients in rows(tau):
        c = cell(arguments, split, name, sampler, steering)
        paid = c["evaluations"] + (values + 3 * gradients) * depth / BLOCKS
        compared = "| | |"
        if name == "memoryless" or name.startswith("best_of_n"):
            best[round(c['evaluations'] / STEPS)] = c
        else:
            n = round(c["evaluations"] / STEPS)
            difference = c["strict"] - best[n]["strict"]
            other = f"best of {n}" if n > 1 else "memoryless"
            compared = f"| {other} | {difference.mean():+.3f} ± {interval(difference):.3f} |"
        lines.append(f"| {name} | {c['evaluations']:.0f} | {paid:.0f} | {c['cpu_ms']:.0f} | {c['strict'].mean():.3f} | "
                     f"{c['soft'].mean():.3f} {compared}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reward", type=pathlib.Path, default=pathlib.Path("runs/train_reward_tiny/process_reward"))
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/process_reward"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", choices=SPLITS)
    parser.add_argument("--write", action="store_true", help="fill docs/process_rewards.md")
    arguments = parser.parse_args()
    if not PROGRAM.exists():
        parser.error(f"no program {PROGRAM}: build it, or set THALWEG_PROGRAM")
    config = json.loads((arguments.reward / "config.json").read_text())
    tables = {f"steering, {split}": table(arguments, split, config["scale"], config["backbone"]["depth"])
              for split in ([arguments.only] if arguments.only else SPLITS)}
    for name, content in tables.items():
        print(f"\n## {name}\n{content}")
    if arguments.write:
        write(tables, ROOT / "docs/process_rewards.md")


if __name__ == "__main__":
    main()
