"""Three rewards that pull apart on the embedded model (scene/strict, compressibility, saturation): MARBLE beside weighted sums, on held-out
captions and on the hard split; and what an iteration of either mode of MARBLE costs.

    python tests/bench/several_rewards.py [--seeds 1] [--iterations 36] [--rounds 3] [--only results|cost] [--folder runs/several_rewards]
                                          [--write]

A row is marble_tiny.json with these rewards and its own way to aggregate, on one core; its model then draws the captions of the hard split, from
the noise that the base has there. The costs are of short runs of all modes in turn, all of which score the three rewards, so that what else the machine
does meets them alike. A run that was stopped goes on, and one that is done is not made again while job, program, plugins, model and prompts
are the same. --write fills docs/results/several_rewards.md. About 3 CPU minutes a row and seed, and one more a row for the hard split;
a round of the costs is 5, on a machine that is as quiet as can be."""

import argparse
import pathlib

import numpy as np

from cells import PROGRAM, ROOT, changed, finished, lines_of, shipped, write
from euphonium_tables import rows_of
from methods import SPLITS, trained_model
from methods_statistics import mean_and_spread

OWN = "marble_tiny"
REWARDS = [{"plugin": "scene", "dimensions": {"strict": 1.0}},
           {"plugin": "jpeg", "config": {"measure": "compressibility", "quality": 95}}, {"plugin": "saturation"}]
NAMES = ["scene/strict", "jpeg/compressibility", "saturation/saturation"]
MARBLE = shipped(OWN)["method"]["aggregation"]
SUM = {"name": "weighted_sum"}
# Title, weights in the order of REWARDS, aggregation. The second sum's weights make deviations alike (0.50, 0.26 and 0.026 over captions, of the base); the
# third's have the first reward count as much as both others.
ROWS = {
    "marble": ("`marble`", (1, 1, 1), MARBLE),
    "floor": ("`marble`, `alpha_floor` 0.2", (1, 1, 1), {**MARBLE, "alpha_floor": 0.2}),
    "sum": ("`weighted_sum`, 1 : 1 : 1", (1, 1, 1), SUM),
    "even": ("`weighted_sum`, 2 : 4 : 40", (2, 4, 40), SUM),
    "first": ("`weighted_sum`, 4 : 4 : 40", (4, 4, 40), SUM),
}
# What is measured in turn: one direction, of one reward alone and of the sum of all; MARBLE as the job has it, and at every update.
MODES = {
    "one": ("one reward, the others watched", (1, 0, 0), SUM),
    "sum": ("the sum of all", (1, 1, 1), SUM),
    "amortised": (f"`marble`, a gradient for each reward every {MARBLE['every']} updates", (1, 1, 1), MARBLE),
    "full": ("`marble`, at every update", (1, 1, 1), {**MARBLE, "every": 1}),
}


def job_of(weights, aggregation, iterations, seed, folder, **changes):
    job = changed(shipped(OWN), {"iterations": iterations, "seed": seed, "output": str(folder), "parallel": {"workers": 1},
                                 "rewards": [{**reward, "weight": weight} for reward, weight in zip(REWARDS, weights)]})
    job["method"] = {**job["method"], "aggregation": aggregation}
    every = min(job["evaluate"]["every"], iterations)
    return changed(job, {"evaluate": {"every": every}, "checkpoint": {"every": every}, **changes})


def scores_on_hard(model, seed, folder):
    job = {"version": 1, "job": "evaluate", "model": model, "prompts": {"path": f"{SPLITS['hard']}eval.txt"},
           "size": {"height": 64, "width": 64}, "steps": 28, "guidance": [{"guidance_scale": 1.0}], "rewards": REWARDS, "pictures": 16,
           "parallel": {"workers": 1, "micro_batch": 32}, "seed": seed, "output": str(folder)}
    return [finished(job, folder)["evaluations"][0][name] for name in NAMES]


def row(arguments, name, seed):
    """{split: [before and after of each reward]}; of the world the interval of the difference too."""
    _, weights, aggregation = ROWS[name]
    folder = arguments.folder / name / f"seed_{seed}"
    job = job_of(weights, aggregation, arguments.iterations, seed, folder / "run")
    world = [finished(job, folder / "run", go_on=True)["eval"][reward] for reward in NAMES]
    base = {key: value for key, value in job["model"].items() if key != "lora"}
    hard = zip(scores_on_hard(base, seed, arguments.folder / "base" / f"seed_{seed}"),
               scores_on_hard(trained_model(job, folder / "run"), seed, folder / "hard"))
    return {"world": world, "hard": [{"before": before, "after": after} for before, after in hard]}


def gained(cells):
    """Of one reward over seeds: the rise, with its spread, or of one seed with half its 95 % interval where that is known."""
    rises = [cell["after"] - cell["before"] for cell in cells]
    if len(cells) == 1 and "low" in cells[0]:
        return f"{rises[0]:+.4f} ± {(cells[0]['high'] - cells[0]['low']) / 2:.4f}"
    return ("+" if np.mean(rises) >= 0 else "") + mean_and_spread(rises, 4)


def results_table(runs):
    """`runs`: {row: [of each seed]}."""
    columns = [(split, k) for split in ("world", "hard") for k in range(len(NAMES))]
    first = next(iter(runs.values()))
    lines = [["aggregation", *[f"`{NAMES[k]}`" + (", hard" if split == "hard" else "") for split, k in columns]],
             ["before", *[mean_and_spread([run[split][k]["before"] for run in first], 4) for split, k in columns]]]
    for name, of_row in runs.items():
        lines.append([ROWS[name][0], *[gained([run[split][k] for run in of_row]) for split, k in columns]])
    return f"Seeds: {len(first)}.\n\n" + rows_of(lines)


def iteration_seconds(arguments, name, turn):
    """CPU seconds of an iteration, rewards left out: of whole cycles of the solutions, without the first iteration, which also fills caches."""
    _, weights, aggregation = MODES[name]
    method = shipped(OWN)["method"]
    cycle = max(1, MARBLE["every"] // method["updates"])  # iterations
    folder = arguments.folder / "cost" / name / f"turn_{turn}"
    few = {"select": arguments.few, "eval": arguments.few}
    job = job_of(weights, aggregation, 1 + 2 * cycle, 0, folder, prompts=few)
    finished(job, folder)
    rows = [row["time_phases"] for row in lines_of(folder / "metrics.jsonl") if row["kind"] == "train"][1:]
    return sum(phases["iteration"]["cpu_s"] - phases.get("reward", {}).get("cpu_s", 0.0) for phases in rows) / len(rows)


def cost_table(seconds):
    """`seconds`: {mode: [of each turn]}; ratios are of the medians."""
    one = float(np.median(seconds["one"]))
    lines = [["iteration", "CPU seconds", "over one reward's"]]
    for name, of_mode in seconds.items():
        lines.append([MODES[name][0], mean_and_spread(of_mode, 2), f"{np.median(of_mode) / one:.3f}"])
    return rows_of(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=shipped(OWN)["iterations"])
    parser.add_argument("--rounds", type=int, default=3, help="of the costs: all modes in turn")
    parser.add_argument("--only", choices=["results", "cost"])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/several_rewards"))
    parser.add_argument("--write", action="store_true", help="fill docs/results/several_rewards.md")
    arguments = parser.parse_args()
    if not PROGRAM.exists():
        parser.error(f"no program {PROGRAM}: build it, or set THALWEG_PROGRAM")
    arguments.folder = arguments.folder.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    few = arguments.folder / "few.txt"
    few.write_text("\n".join((ROOT / f"{SPLITS['world']}select.txt").read_text().splitlines()[:4]) + "\n")
    arguments.few = str(few)
    tables = {}
    if arguments.only != "cost":
        runs = {name: [] for name in ROWS}
        for seed in range(arguments.seeds):
            for name in ROWS:
                runs[name].append(row(arguments, name, seed))
        tables["several"] = results_table(runs)
    if arguments.only != "results":
        seconds = {name: [] for name in MODES}
        for turn in range(arguments.rounds):
            for name in MODES:
                seconds[name].append(iteration_seconds(arguments, name, turn))
        tables["several_cost"] = cost_table(seconds)
    print("\n\n".join(tables.values()))
    if arguments.write:
        write(tables, ROOT / "docs/results/several_rewards.md")


if __name__ == "__main__":
    main()
