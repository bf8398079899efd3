"""What it costs that a reward has a process of its own, and what it saves that it is asked beside the rollout.

    python tests/bench/hosted_reward.py [--write docs/results/hosted_rewards.md]

Crossing: CPU seconds of the program and its processes for a call that scores pictures with the bundled `color`, in the program and in
a process of its own: the slope between few calls and many of one score job. Overlap: the wall time of an iteration of
tests/bench/jobs/flow_grpo.json with a reward in Python that only waits, as long in all as the rollout takes, against one that does not wait.
Wants a quiet machine, and the test's build for nothing but its plugins."""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

import torch
from cells import PROGRAM, ROOT, lines_of, write
from safetensors.torch import save_file

WAITING = '''
import time

def score(frames):
    time.sleep({seconds})
    return frames.mean(axis=(1, 2, 3, 4))
'''
PICTURES = {"64 px": (64, 64, (20, 220)), "1024 px": (2, 1024, (10, 60))}


def run(job, folder):
    """CPU seconds of the program and of all processes that it had, and the folder."""
    folder.mkdir(parents=True)
    (folder / "bench.json").write_text(json.dumps({"version": 1, **job, "output": str(folder / "run")}))
    process = os.spawnve(os.P_NOWAIT, str(PROGRAM), [str(PROGRAM), "run", str(folder / "bench.json")],
                         {**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process, 0)
    if status != 0:
        raise SystemExit(f"failed: {folder}")
    return usage.ru_utime + usage.ru_stime, folder / "run"


def crossing(batch, pixels, calls, scratch):
    """CPU milliseconds a call by where the reward is: the median of the slopes of five pairs of runs, in turn."""
    frames = {n: scratch / f"{pixels}-{n}.safetensors" for n in calls}
    for n, path in frames.items():
        save_file({"frames": torch.rand(batch * n, 1, 3, pixels, pixels) if pixels < 512 else
                   torch.rand(batch, 1, 3, pixels, pixels).repeat(n, 1, 1, 1, 1)}, path)
    slopes = {"inproc": [], "process": []}
    for turn in range(5):
        for isolation, found in slopes.items():
            seconds = {}
            for n in calls:
                job = {"job": "score", "frames": str(frames[n]), "prompts": {"texts": ["a"] * (batch * n)}, "batch_size": batch,
                       "checkpoint": {"every_seconds": 1000}, "rewards": [{"plugin": "color", "isolation": isolation}]}
                seconds[n] = run(job, scratch / f"{pixels}-{isolation}-{turn}-{n}")[0]
            found.append((seconds[calls[1]] - seconds[calls[0]]) / (calls[1] - calls[0]) * 1e3)
    return {isolation: statistics.median(found) for isolation, found in slopes.items()}


def iterations(job, folder):
    """Median wall seconds of the iterations but the first, and of their rollout."""
    rows = [row["time_phases"] for row in lines_of(run(job, folder)[1] / "metrics.jsonl") if row["kind"] == "train"][1:]
    return {phase: statistics.median(row[phase]["wall_s"] for row in rows) for phase in ("iteration", "rollout", "decode")}


def overlap(scratch):
    job = json.loads((ROOT / "tests/bench/jobs/flow_grpo.json").read_text())
    few = scratch / "few.txt"
    few.write_text("\n".join((ROOT / "assets/prompts/scenes/select.txt").read_text().splitlines()[:4]) + "\n")
    job["prompts"] = {**job["prompts"], "select": str(few), "eval": str(few)}
    job.update(iterations=6, parallel={**job["parallel"], "workers": 2, "micro_batch": 16})
    job["evaluate"] = {"every": 100, "steps": 2}
    samples = job["method"]["prompts_per_iteration"] * job["method"]["group_size"]
    found = {}
    for name in ("without", "waiting"):
        seconds = 0.0 if name == "without" else found["without"]["rollout"] / (samples / 16)
        (scratch / "reward.py").write_text(WAITING.format(seconds=seconds))
        job["rewards"] = [{"plugin": "python", "config": {"file": str(scratch / "reward.py"), "interpreter": sys.executable}}]
        found[name] = iterations(job, scratch / name)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=pathlib.Path, help="replace the tables of this page")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        over = overlap(scratch)
        step = over["without"]["iteration"]
        lines = ["| a call of | in the program | in a process of its own | difference |", "|---|---|---|---|"]
        for name, (batch, pixels, calls) in PICTURES.items():
            cost = crossing(batch, pixels, calls, scratch)
            lines.append(f"| {batch} pictures of {name} | {cost['inproc']:.2f} ms | {cost['process']:.2f} ms | "
                         f"{cost['process'] - cost['inproc']:.2f} ms |")
            if pixels == 64:
                share = 3 * (cost["process"] - cost["inproc"]) / 1e3 / step
    lines += ["", f"The three calls for the 192 pictures of an iteration of {step:.2f} s: {100 * share:.2f} % of it.", "",
              f"An iteration with a reward that does not wait: {over['without']['iteration']:.3f} s, of which the rollout has "
              f"{over['without']['rollout']:.3f} s on each of two workers. With one that waits as long in all: "
              f"{over['waiting']['iteration']:.3f} s, {100 * (over['waiting']['iteration'] / step - 1):+.1f} %; one after the other "
              f"it would be {100 * over['without']['rollout'] / step:+.1f} %.", "",
              f"Load before the run {load:.1f}, {time.strftime('%Y-%m-%d')}."]
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        write({"tables": text}, arguments.write)


main()
