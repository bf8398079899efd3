"""What steering costs beside the network and the rewards, and FK with 8 particles beside Python, in one run.

    python tests/bench/steering_speed.py [--prompts 16] [--peer-prompts 96] [--write]

CPU seconds of one thread each, on the embedded model: the scene reward, color for methods that want its gradient, the mean of
the latents for those that want a process reward."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import save_file

from cells import PROGRAM, ROOT, write
from steering import interval
from steering_rows import MEMORYLESS, ODE, SDE, STEPS

SCENE = {"plugin": "scene", "dimensions": {"soft": 0.5, "strict": 0.5}}
COLOR = {"plugin": "color"}
LATENTS = {"plugin": "analytic", "id": "org.thalweg.analytic.latents", "config": {"kind": "linear"}}
METHODS = [
    ("best_of_n", ODE, SCENE, {"name": "best_of_n", "particles": 8}),
    ("best_of_n", MEMORYLESS, SCENE, {"name": "best_of_n", "particles": 8}),
    ("fk", MEMORYLESS, SCENE, {"name": "fk", "particles": 8, "lambda": 20, "interval": 4}),
    ("svdd", MEMORYLESS, SCENE, {"name": "svdd", "candidates": 8, "temperature": 0.05}),
    ("doob pick, recompute", MEMORYLESS, SCENE, {"name": "doob", "candidates": 8}),
    ("doob drift, recompute", MEMORYLESS, SCENE, {"name": "doob", "candidates": 8, "form": "drift"}),
    ("doob pick, shared", MEMORYLESS, SCENE, {"name": "doob", "candidates": 8, "lookahead": "shared"}),
    ("doob vjp, shared", MEMORYLESS, SCENE, {"name": "doob", "candidates": 8, "lookahead": "shared", "form": "vjp"}),
    ("spsa", MEMORYLESS, SCENE, {"name": "spsa", "probes": 4, "lambda": 1.0}),
    ("dps", ODE, COLOR, {"name": "dps", "lambda": 100}),
    ("mpgd", ODE, COLOR, {"name": "mpgd", "lambda": 100}),
    ("das", MEMORYLESS, COLOR, {"name": "das", "particles": 4, "lambda": 100}),
    ("guided_smc", MEMORYLESS, COLOR, {"name": "guided_smc", "particles": 4, "lambda": 100}),
    ("flow_nrg", ODE, LATENTS, {"name": "flow_nrg"}),
    ("euphonium", MEMORYLESS, LATENTS, {"name": "euphonium", "window": {"begin": 0}}),
]


def job(prompts, sampler, reward, steering, output, **keys):
    return {
        "version": 1, "job": "sample",
        "model": {"path": "assets/models/tiny-sd3", "dtype": "bfloat16", "vae_dtype": "bfloat16", "max_sequence_length": 1},
        "prompts": {"path": "assets/prompts/scenes/select.txt", "limit": prompts},
        "sampler": {**sampler, "steps": STEPS, "height": 64, "width": 64}, "steering": [steering] if steering else [],
        "rewards": [reward], "save_images": False,
        "parallel": {"micro_batch": 64, "workers": 1}, "seed": 1, "output": str(output), **keys}


def run(wanted, folder):
    path = folder / "job.json"
    path.write_text(json.dumps(wanted))
    subprocess.run([PROGRAM, "run", path], check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads((pathlib.Path(wanted["output"]) / "result.json").read_text())


def overheads(arguments, folder):
    calls = ("network", "decode", "reward", "gradient")
    lines = ["| method | sampler | network | decode | reward | gradients of these | the rest | of it the sampler's own noise | "
             "overhead |", "|---|---|---|---|---|---|---|---|---|"]
    noise = {}
    for sampler in (ODE, MEMORYLESS):  # as best_of_n draws it, with nothing to steer: the rest is the sampler's own
        one = run(job(arguments.prompts, sampler, SCENE, {"name": "best_of_n", "particles": 1}, folder / "one"), folder)
        noise[sampler["name"]] = one["time_phases"]["rollout"]["cpu_s"]
    for name, sampler, reward, steering in METHODS:
        result = run(job(arguments.prompts, sampler, reward, steering, folder / "run"), folder)
        cpu = {phase: time["cpu_s"] for phase, time in result["time_phases"].items()}
        own = noise[sampler["name"]] * steering.get("particles", 1)
        share = (cpu["rollout"] - own) / sum(cpu.get(phase, 0.0) for phase in calls)
        cells = " | ".join(f"{cpu.get(phase, 0.0):.3f}" for phase in calls)
        lines.append(f"| {name} | {sampler['name']} | {cells} | {cpu['rollout']:.3f} | {own:.3f} | {100 * share:.1f} % |")
    return "\n".join(lines)


def beside_python(arguments, folder):
    steering = {"name": "fk", "particles": 8, "lambda": 20, "interval": 4}
    prompts = arguments.peer_prompts
    noise = np.random.default_rng(0).standard_normal((prompts * steering["particles"], 4, 16, 16)).astype(np.float32)
    save_file({"latents": noise}, folder / "noise.safetensors")
    wanted = job(prompts, SDE, SCENE, steering, folder / "fk", latents=str(folder / "noise.safetensors"))
    rounds = []
    for _ in range(arguments.rounds):
        result = run(wanted, folder)
        phases = ("rollout", "network", "decode", "reward")
        ours = sum(result["time_phases"][phase]["cpu_s"] for phase in phases)
        out = subprocess.run([sys.executable, ROOT / "tests/bench/fk_peer.py", folder / "job.json",
                              folder / "noise.safetensors", "1"], check=True, capture_output=True, text=True, cwd=ROOT,
                             env={**os.environ, "OMP_NUM_THREADS": "1"})
        peer = json.loads(out.stdout.splitlines()[-1])
        rounds.append((ours, peer["cpu_s"]))
    ours, peer_s = np.median(np.array(rounds), 0)
    # Both draw from fixed seeds: the rewards of all rounds are those of the last.
    mine = [json.loads(line)["reward"] for line in (folder / "fk/scores.jsonl").read_text().splitlines()]

    def mean(rewards):
        return f"{np.mean(rewards):.3f} ± {interval(np.array(rewards)):.3f}"

    return "\n".join(["| | CPU s a sample | mean reward, 95 % interval |", "|---|---|---|",
                      f"| Thalweg | {ours / prompts:.3f} | {mean(mine)} |",
                      f"| diffusers | {peer_s / prompts:.3f} | {mean(peer['rewards'])} |",
                      f"| ratio | {peer_s / ours:.2f} | |"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=16, help="of the overheads")
    parser.add_argument("--peer-prompts", type=int, default=96, help="of the comparison with Python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="fill docs/results/steering_cost.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tables = {"overhead": overheads(arguments, folder), "python": beside_python(arguments, folder)}
    for name, content in tables.items():
        print(f"\n## {name}\n{content}")
    if arguments.write:
        write(tables, ROOT / "docs/results/steering_cost.md")


if __name__ == "__main__":
    main()
