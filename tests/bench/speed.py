"""Thalweg beside the Python peer: one iteration of each method by phase, load time and peak memory, on the same folder,
sizes, precision and cores, in turn within one run.

    python tests/bench/speed.py [--rounds 3] [--iterations 3] [--threads 2] [--only flow_grpo|diffusion_nft|awm]
                                [--flux | --wan] [--write docs/results/speed.md]

--flux: on a FLUX.1 of the embedded model's size with random weights, which it makes (flux_folder.py). --wan: clips of the
embedded video model, or of a folder of its shape (wan_folder.py) where there is none. Each round runs Thalweg, the eager
peer and the torch.compile'd peer one after the other; a figure is the median over all counted iterations of all rounds.
Needs a quiet machine: the peer's two threads wait for each other in every operation."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from cells import PROGRAM, ROOT, changed, lines_of, write

BENCH = ROOT / "tests/bench"
METHODS = ["flow_grpo", "diffusion_nft", "awm"]
PHASES = ["rollout", "decode", "reward", "train", "optimizer", "iteration"]
BUILD = pathlib.Path(os.environ.get("THALWEG_BUILD", ROOT / "build/release"))
LOADER = BUILD / "tests/load"  # a program of the tests
TABLES = {"sd3": "tables", "flux": "flux", "wan": "wan"}  # each family's place in the page
CHANGES = {  # to the jobs
    "sd3": {},
    "flux": {"model": {"max_sequence_length": 16}},
    "wan": {"model": {"max_sequence_length": 12},
            "prompts": {split: f"assets/prompts/moving_scenes/{split}.txt" for split in ("train", "select", "eval")},
            "sampler": {"height": 32, "width": 32, "frames": 9},
            "rewards": [{"plugin": "temporal", "dimensions": {"temporal_flickering": 1}}],
            "evaluate": {"metric": "temporal/temporal_flickering"}}}


def measured(command, **options):
    """Standard output, and the peak of the resident memory in MiB."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, cwd=ROOT, **options)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return out, usage.ru_maxrss / 1024


def thalweg(job_path, folder, iterations, threads):
    few = folder / "few.txt"  # the base and final evaluations are not measured
    prompts = ROOT / json.loads(job_path.read_text())["prompts"]["select"]
    few.write_text("\n".join(prompts.read_text().splitlines()[:4]) + "\n")
    output = folder / "thalweg"
    sets = {"/prompts/select": few, "/prompts/eval": few, "/iterations": 1 + iterations, "/parallel/workers": threads}
    command = [PROGRAM, "run", job_path, "--output", output]
    for pointer, value in sets.items():
        command += ["--set", f"{pointer}={value}"]
    _, peak = measured(command, stderr=subprocess.DEVNULL)
    rows = [row for row in lines_of(output / "metrics.jsonl") if row["kind"] == "train"]
    times = [{phase: [row["time_phases"][phase]["wall_s"], row["time_phases"][phase]["cpu_s"]]
              for phase in PHASES if phase in row["time_phases"]} for row in rows[1:]]
    return {"peak_mib": peak, "iterations": times, "rewards": [row["reward"] for row in rows]}


def load_time(folder):
    """Best of the wall times of opening the model, each in a process of its own."""
    best = None
    for _ in range(5):
        found = json.loads(measured([LOADER, folder])[0])
        best = found if best is None or found["wall_s"] < best["wall_s"] else best
    return best["wall_s"], best["cpu_s"]


def peer(job_path, mode, iterations, threads):
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    out, peak = measured([sys.executable, BENCH / "peer.py", job_path, mode, iterations, 2 if mode == "compiled" else 1,
                          threads], env=environment, stderr=subprocess.DEVNULL)
    return {**json.loads(out), "peak_mib": peak}


def median(runs, phase, which):
    return statistics.median(row[phase][which] for run in runs for row in run["iterations"] if phase in row)


def compare(method, arguments, model, scratch):
    job = changed(json.loads((BENCH / f"jobs/{method}.json").read_text()), CHANGES[arguments.family])
    job["model"]["path"] = str(model)
    job_path = scratch / f"{method}.json"
    job_path.write_text(json.dumps(job))
    runs = {"thalweg": [], "eager": [], "compiled": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            runs["thalweg"].append(thalweg(job_path, pathlib.Path(folder), arguments.iterations, arguments.threads))
        for mode in ("eager", "compiled"):
            runs[mode].append(peer(job_path, mode, arguments.iterations, arguments.threads))
        print(f"  {method}: a round is done", file=sys.stderr, flush=True)
    return runs


def table(method, runs):
    lines = [f"### {method}", "",
             "| phase | Thalweg | eager | compiled | eager / Thalweg | compiled / Thalweg | the same, CPU time |",
             "|---|---|---|---|---|---|---|"]
    for phase in PHASES:
        wall = [median(runs[name], phase, 0) for name in ("thalweg", "eager", "compiled")]
        cpu = [median(runs[name], phase, 1) for name in ("thalweg", "eager", "compiled")]
        ratio = lambda t, i: f"{t[i] / t[0]:.2f}" if t[0] > 0.002 else "-"
        lines.append(f"| {phase} | {wall[0]:.3f} s | {wall[1]:.3f} s | {wall[2]:.3f} s | {ratio(wall, 1)} | "
                     f"{ratio(wall, 2)} | {ratio(cpu, 1)}, {ratio(cpu, 2)} |")
    peaks = [statistics.median(run["peak_mib"] for run in runs[name]) for name in ("thalweg", "eager", "compiled")]
    lines.append(f"| peak memory | {peaks[0]:.0f} MiB | {peaks[1]:.0f} MiB | {peaks[2]:.0f} MiB | "
                 f"{peaks[1] / peaks[0]:.2f} | {peaks[2] / peaks[0]:.2f} | |")
    return lines + [""]


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = line.split()
            wanted = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return ", ".join(wanted)


def model_of(family, scratch):
    """The family's embedded model, or a folder of its shape. That is made by a process of its own: a child's peak of memory
    begins at its parent's, which torch would raise."""
    model = ROOT / f"assets/models/tiny-{family}"
    if not model.exists():
        model = scratch / "model"
        subprocess.run([sys.executable, BENCH / f"{family}_folder.py", model], check=True, stderr=subprocess.DEVNULL)
    return model


def results(arguments, scratch):
    model = model_of(arguments.family, scratch)
    started, lines, eager_loads = os.getloadavg()[0], [], []
    for method in [arguments.only] if arguments.only else METHODS:
        runs = compare(method, arguments, model, scratch)
        lines += table(method, runs)
        eager_loads += [run["load"] for run in runs["eager"] + runs["compiled"]]
    ours, theirs = load_time(model), min(eager_loads)
    lines += [f"Loading the model: {ours[0] * 1000:.0f} ms against {theirs[0] * 1000:.0f} ms, "
              f"ratio {theirs[0] / ours[0]:.1f} (CPU time: {theirs[1] / ours[1]:.1f}); best of each, imports not counted.",
              "", f"Rounds: {arguments.rounds}, of {arguments.iterations} counted iterations; {arguments.threads} threads each, "
              f"load before the run {started:.1f}, processor with {processor()}, {time.strftime('%Y-%m-%d')}."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=METHODS)
    families = parser.add_mutually_exclusive_group()
    for family in ("flux", "wan"):
        families.add_argument(f"--{family}", dest="family", action="store_const", const=family)
    parser.set_defaults(family="sd3")
    parser.add_argument("--write", type=pathlib.Path, help="replace the tables of this page")
    arguments = parser.parse_args()
    for needed in (PROGRAM, LOADER):
        if not needed.exists():
            sys.exit(f"speed: there is no {needed}; build the tests first: make test-build")
    with tempfile.TemporaryDirectory() as scratch:
        text = results(arguments, pathlib.Path(scratch))
    print(text)
    if arguments.write:
        write({TABLES[arguments.family]: text}, arguments.write)


main()
