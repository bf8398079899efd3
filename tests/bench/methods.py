"""Every online method on the embedded model with the scene reward, at equal CPU time: what it reaches on held-out captions, and
how fast.

    python tests/bench/methods.py [--cpu-seconds 240] [--seeds 3] [--split world|hard] [--only ROW] [--at-once 1] [--finished] [--anew]
                                  [--write]

A row is a job of assets/jobs, run on one core. A short rehearsal of it says what an iteration costs, so how many the CPU
seconds pay for; the learning rate falls over just these, and times in the table are iterations by that cost. Evaluations are
not counted. --split says on which captions is trained; held-out captions of both are scored at the end. A run that was
stopped goes on, and one that is done is not run again, unless its job, the program, a plugin, the model or the prompts have
changed. A row that fails is left out, and the exit code is 1. --write fills docs/results/methods.md and
docs/images/methods.svg (methods_hard.svg) once all rows have a run, and keeps rehearsals and what each run measured in docs/results/methods.json
(methods_hard.json): these are not made again, unless --anew is given, or, of a run, its job has changed. Rehearsals alone want
a quiet machine, two minutes each; runs, five to six minutes, give the same on a busy one."""

import argparse
import concurrent.futures
import copy
import pathlib
import subprocess
import sys

from cells import PROGRAM, ROOT, finished, lines_of, shipped, write
from chart import Chart, color_cycle, wide
from kept_runs import KeptRuns
from methods_statistics import area, clock_of, envelope, held_out_curve, mean_and_spread, reached, seconds_to, timed

# One line a method: its name in the table, and its job in assets/jobs.
ROWS = [
    ("DiffusionNFT", "nft_tiny"),
    ("Flow-GRPO", "flow_grpo_tiny"),
    ("AWM", "awm_tiny"),
    ("DGPO", "dgpo_tiny"),
    ("CRD", "crd_tiny"),
    ("Flow-DPO", "flow_dpo_tiny"),
    ("Flow-RWR", "flow_rwr_tiny"),
    ("SFT", "sft_tiny"),
    ("Flow-GRPO-Fast", "flow_grpo_fast_tiny"),
    ("DanceGRPO", "dance_grpo_tiny"),
    ("MixGRPO", "mix_grpo_tiny"),
    ("GRPO-Guard", "grpo_guard_tiny"),
    ("Flow-DPPO", "flow_dppo_tiny"),
    ("BranchGRPO", "branch_grpo_tiny"),
    ("TempFlow-GRPO", "tempflow_grpo_tiny"),
]
REHEARSED = 5  # iterations
GAINS = (0.08, 0.20)
SHOWN = ("scene/strict", "scene/soft")
SPLITS = {"world": "assets/prompts/scenes/", "hard": "assets/prompts/scenes/hard_"}


def job_of(arguments, name, seed, iterations, folder, **prompts):
    """The row's own job on one core, but for its length and what it trains and is scored on."""
    job = shipped(name)
    files = {key: f"{SPLITS[arguments.split]}{key}.txt" for key in ("train", "select", "eval")}
    every = max(1, -(-iterations // arguments.points))
    job.update(prompts={**files, **prompts}, iterations=iterations, seed=seed, output=str(folder))
    job["evaluate"] = {**job.get("evaluate", {}), "every": every, "steps": 28, "guidance_scale": 1.0, "metric": SHOWN[0],
                       "pictures": 16, "baselines": []}
    job["checkpoint"] = {"every": every, "keep": 1}
    job["parallel"] = {**job.get("parallel", {}), "workers": 1}
    return job


def write_few(arguments):
    """A file of captions for evaluations that nobody looks at."""
    few = (ROOT / f"{SPLITS['world']}select.txt").read_text().splitlines()[:4]
    (arguments.folder / "few.txt").write_text("\n".join(few) + "\n")
    return str(arguments.folder / "few.txt")


def rehearsed(arguments, job, folder):
    """The clock of a row, from a short run of its job."""
    finished(job, folder)
    return clock_of(arguments.cpu_seconds, [row["time_phases"]["iteration"]["cpu_s"] for row in lines_of(folder / "metrics.jsonl")
                                            if row["kind"] == "train"])


def rehearsal(arguments, name):
    """Fills the row's clock."""
    if name in arguments.kept.clock:
        return True
    folder = arguments.folder / name / "rehearsal"
    few = str(arguments.folder / "few.txt")
    job = job_of(arguments, name, 0, REHEARSED, folder, select=few, eval=few)
    arguments.kept.clock[name] = rehearsed(arguments, job, folder)
    return True


def scores_on(split, model, seed, folder):
    """Final scores of a model on the split's captions, with the noise that a run of that seed has there."""
    job = {"version": 1, "job": "evaluate", "model": model, "prompts": {"path": f"{SPLITS[split]}eval.txt"},
           "size": {"height": 64, "width": 64}, "steps": 28, "guidance": [{"guidance_scale": 1.0}],
           "rewards": [{"plugin": "scene"}], "pictures": 64, "parallel": {"workers": 1, "micro_batch": 32}, "seed": seed,
           "output": str(folder)}
    return {key: finished(job, folder)["evaluations"][0][key] for key in SHOWN}


def trained_model(job, run):
    """The model section of what a run wrote."""
    model = {key: value for key, value in copy.deepcopy(job["model"]).items() if key != "lora"}
    if "lora" in job["model"]:
        return {**model, "lora": {"path": str(run / "pytorch_lora_weights.safetensors")}}
    return {**model, "path": str(run / "model")}


def run(arguments, name, seed):
    """One run: its curve, and its scores at the end on both splits, one of which the run itself has scored."""
    folder = arguments.folder / name / f"seed_{seed}"
    job = job_of(arguments, name, seed, arguments.kept.clock[name][0], folder / "run")
    if kept := arguments.kept.find(name, seed, job):
        return kept
    result = finished(job, folder / "run", go_on=True)
    curve = held_out_curve(lines_of(folder / "run/metrics.jsonl"), SHOWN[0])
    other = next(split for split in SPLITS if split != arguments.split)
    final = {arguments.split: {key: result["eval"][key]["after"] for key in SHOWN},
             other: scores_on(other, trained_model(job, folder / "run"), seed, folder / other)}
    return arguments.kept.add(name, seed, job, {"curve": curve, "final": final})


def base(arguments, seed):
    job = job_of(arguments, ROWS[0][1], seed, 1, "")
    model = {key: value for key, value in job["model"].items() if key != "lora"}
    folder = arguments.folder / "base" / f"seed_{seed}"
    run = arguments.kept.find("base", seed, model) or arguments.kept.add(
        "base", seed, model, {"final": {split: scores_on(split, model, seed, folder / split) for split in SPLITS}})
    return run["final"]


def finals(runs):
    return " | ".join(mean_and_spread([final[split][key] for final in runs]) for split in SPLITS for key in SHOWN)


def curves_of(arguments, name, runs):
    return [timed(run["curve"], arguments.kept.clock[name][1]) for run in runs]


def line_of(arguments, title, name, runs):
    curves, iterations = curves_of(arguments, name, runs), arguments.kept.clock[name][0]
    lora = shipped(name)["model"].get("lora")
    cells = [title, f"`{name}`", f"LoRA, rank {lora['rank']}" if lora else "all weights", str(len(runs)), str(iterations),
             f"{curves[0][-1][0]:.0f}", finals([run["final"] for run in runs]),
             mean_and_spread([area(curve, arguments.cpu_seconds) for curve in curves]),
             *[reached([seconds_to(curve, gain) for curve in curves]) for gain in GAINS]]
    return "| " + " | ".join(cells) + " |"


def table(arguments, bases, rows):
    heads = ["method", "job", "trained", "seeds", "iterations", "CPU s", "strict", "soft", "strict, hard", "soft, hard", "area",
             *[f"CPU s to +{gain:.2f}" for gain in GAINS]]
    lines = [" | ".join(["", *heads, ""]).strip(), "|" + "---|" * len(heads),
             f"| not trained | | | {len(bases)} | | | {finals(bases)} | | | |"]
    return "\n".join(lines + [line_of(arguments, *row) for row in rows])


def plot(arguments, rows, path):
    curves = {title: curves_of(arguments, name, runs) for title, name, runs in rows}
    ends = [curve[-1][0] for of_row in curves.values() for curve in of_row]
    step = max(10, round(max(ends) / 6 / 10) * 10)
    ticks = [step * i for i in range(int(-(-max(ends) // step)) + 1)]
    chart = Chart(ticks, wide([y for of_row in curves.values() for curve in of_row for _, y in curve]))
    for color, of_row in zip(color_cycle(), curves.values()):
        grid, mean, least, most = envelope(of_row)
        chart.band(list(zip(grid, least)), list(zip(grid, most)), color)
        chart.line(list(zip(grid, mean)), color)
    chart.write(path, curves, "CPU seconds of training", f"held-out {SHOWN[0]}, mean, least and most of the seeds")


def attempted(work, arguments, name, *others):
    """None where the program failed, which has said why: the other rows go on."""
    try:
        return work(arguments, name, *others)
    except subprocess.CalledProcessError as error:
        print(f"{name}: a {work.__name__} ended with exit code {error.returncode}", file=sys.stderr, flush=True)
        return None


def is_done(arguments, name, seed):
    folder = arguments.folder / name / f"seed_{seed}"
    other = next(split for split in SPLITS if split != arguments.split)
    return (arguments.kept.find(name, seed, job_of(arguments, name, seed, 1, ""))
            or (folder / other / "result.json").exists())


def results(arguments):
    """[(title, job, runs)] of the rows that did not fail: rehearsals first, then all runs, `at_once` side by side, one seed
    after the other."""
    titles = {name: title for title, name in ROWS if arguments.only in (None, name)}
    with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:
        def everywhere(work, calls):
            try:
                return list(pool.map(lambda call: attempted(work, arguments, *call), calls))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        rehearsed = [name for name, done in zip(titles, everywhere(rehearsal, [(name,) for name in titles])) if done]
        wanted = [(name, seed) for seed in range(arguments.seeds) for name in rehearsed
                  if not arguments.finished or is_done(arguments, name, seed)]
        runs = {}
        for (name, _), done in zip(wanted, everywhere(run, wanted)):
            runs.setdefault(name, []).append(done)
    return [(titles[name], name, of_row) for name, of_row in runs.items() if all(of_row)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu-seconds", type=float, default=240.0, help="of training, a run")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--points", type=int, default=12, help="of a held-out curve, beside its start")
    parser.add_argument("--split", choices=SPLITS, default="world", help="captions that are trained on")
    parser.add_argument("--only", choices=[name for _, name in ROWS], help="one row alone")
    parser.add_argument("--at-once", type=int, default=1, help="runs side by side, one core each")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/methods"))
    parser.add_argument("--finished", action="store_true", help="begin no run: a table of those that are done")
    parser.add_argument("--anew", action="store_true", help="run what is kept as well")
    parser.add_argument("--write", action="store_true", help="fill docs/results/methods.md, and keep the runs")
    arguments = parser.parse_args()
    if not PROGRAM.exists():
        parser.error(f"no program {PROGRAM}: build it, or set THALWEG_PROGRAM")
    if arguments.write and arguments.only:
        parser.error("--write wants all rows, not --only")
    arguments.folder = arguments.folder.resolve() / arguments.split
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_few(arguments)
    mark = "methods" if arguments.split == "world" else "methods_hard"
    arguments.kept = KeptRuns(ROOT / f"docs/results/{mark}.json", arguments.anew)
    bases = [base(arguments, seed) for seed in range(arguments.seeds)]
    rows = results(arguments)
    content = table(arguments, bases, rows)
    print(content)
    if arguments.write:
        arguments.kept.write()
    if arguments.write and len(rows) == len(ROWS):
        write({mark: content}, ROOT / "docs/results/methods.md")
        plot(arguments, rows, ROOT / f"docs/images/{mark}.svg")
    return 0 if len(rows) == len(ROWS if arguments.only is None else [arguments.only]) else 1


if __name__ == "__main__":
    sys.exit(main())
