"""The tables of euphonium.py, from what its seeds measured: [{row: run}]."""

import numpy as np

from methods import SHOWN
from methods_statistics import envelope, first_at, mean_and_spread, reached, timed

PLAIN = "flow_grpo"  # the row that the others are compared with
DRAWN = {"base": "the base", "guided": "the base, guided by the process reward", "distilled": "distilled, without any reward"}


def rows_of(table):
    heads, *lines = table
    return "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *[f"| {' | '.join(cells)} |" for cells in lines]])


def reward_table(runs):
    """Rank correlations with the outcome by noise level, and what training cost."""
    if not runs:
        return ""
    levels = [f"{level['sigma']:.1f}" for level in runs[0]["levels"]]
    lines = [[title, *[mean_and_spread([run["levels"][i][key] for run in runs], 2) for i in range(len(levels))]]
             for title, key in (("all samples", "rank_correlation"), ("among those of a caption", "group_rank_correlation"))]
    paid = mean_and_spread([run["cpu"] for run in runs], 0)
    return f"Seeds: {len(runs)}; CPU seconds of training: {paid}.\n\n" + rows_of([["sigma", *levels], *lines])


def faster(plain, other, later=0.0):
    """How many times as long the curve `plain` takes to where it ends as `other` does, which begins `later`."""
    score = plain[-1][1]
    first, second = first_at(plain, score), first_at(other, score)
    return first / (second + later) if first and second is not None and second + later > 0.0 else None


def compared(clocks, seeds, row):
    """Cells: iterations and CPU seconds to where the plain row ends, and how many times faster that is."""
    both = [runs for runs in seeds if row in runs and PLAIN in runs]
    if not both:
        return [""] * 5
    plain = [timed(runs[PLAIN]["curve"], clocks[PLAIN][1]) for runs in both]
    other = [timed(runs[row]["curve"], clocks[row][1]) for runs in both]
    seconds = [first_at(own, score) for own, ((*_, (_, score))) in zip(other, plain)]
    iterations = [None if at is None else at / clocks[row][1] for at in seconds]
    of_means = faster(*[list(zip(*envelope(curves)[:2])) for curves in (plain, other)])
    cells = [reached(iterations), reached(seconds), reached([faster(*pair) for pair in zip(plain, other)], 2),
             reached([of_means], 2)]
    paid = [run["reward"]["cpu"] for run in both if run[row].get("led") and "reward" in run]
    return [*cells, reached([faster(*all_three) for all_three in zip(plain, other, paid)], 2) if len(paid) == len(both) else ""]


def training_table(titles, clocks, seeds):
    heads = ["training", "seeds", "iterations", "CPU s", "strict", "soft", "end of its curve", "iterations to Flow-GRPO's end",
             "CPU s to it", "times faster", "of the mean curves", "times faster, the process reward's training counted"]
    lines = []
    for row, title in titles.items():
        runs = [runs[row] for runs in seeds if row in runs]
        if runs:
            iterations, one = clocks[row]
            lines.append([title, str(len(runs)), str(iterations), f"{iterations * one:.0f}",
                          *[mean_and_spread([run["final"][key] for run in runs]) for key in SHOWN],
                          mean_and_spread([run["curve"][-1][1] for run in runs]), *compared(clocks, seeds, row)])
    return rows_of([heads, *lines])


def share(runs, key):
    """Of the guided sampler's gain, what the distilled policy keeps: of the means, and over seeds."""
    base, guided, policy = (np.array([run["scores"][name][key] for run in runs]) for name in DRAWN)
    if np.any(guided <= base):
        return "not a gain in every seed"
    kept = mean_and_spread(100.0 * (policy - base) / (guided - base), 0)
    return f"{(policy - base).mean() / (guided - base).mean():.0%} (seeds: {kept})"


def distilled_table(runs):
    if not runs:
        return ""
    heads = ["sampler", "seeds", *[key.split("/")[1] for key in SHOWN], "CPU ms a sample", "of the gain, strict", "of the gain, soft",
             "learnt", "CPU s of distilling"]
    lines = []
    for name, title in DRAWN.items():
        scores = [run["scores"][name] for run in runs]
        lines.append([title, str(len(runs)), *[mean_and_spread([score[key] for score in scores]) for key in SHOWN],
                      mean_and_spread([score["cpu_ms"] for score in scores], 0), *[""] * 4])
    lines[-1][-4:] = [*[share(runs, key) for key in SHOWN], mean_and_spread([run["learnt"] for run in runs], 2),
                      mean_and_spread([run["cpu"] for run in runs], 0)]
    return rows_of([heads, *lines])
