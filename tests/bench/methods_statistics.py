"""The statistics of the methods' benchmark: of one run's held-out curve [(CPU seconds, score)], and over seeds."""

import numpy as np


def held_out_curve(rows, key):
    """[(iterations until then, held-out score)] from the rows of metrics.jsonl."""
    iterations, curve = 0, []
    for row in rows:
        if row["kind"] == "train":
            iterations += 1
        elif row["kind"] == "eval":
            curve.append((iterations, row[key]))
    return curve


def timed(curve, seconds):
    """The curve over CPU seconds of training, of which an iteration costs `seconds`."""
    return [(iterations * seconds, score) for iterations, score in curve]


def area(curve, budget):
    """Mean of the score over the first `budget` CPU seconds, straight lines between the points; a run that ends before
    stands at its last score for the rest."""
    x, y = np.array(curve, float).T
    inner = x[(x > 0) & (x < budget)]
    at = np.concatenate([[0.0], inner, [budget]])
    return float(np.trapezoid(np.interp(at, x, y), at) / budget)


def first_at(curve, score):
    """Where on its axis the curve first stands at the score, on straight lines between the points; None where it never does."""
    for (x0, y0), (x1, y1) in zip(curve, curve[1:]):
        if y0 >= score:
            return x0
        if y1 >= score:
            return x0 + (x1 - x0) * (score - y0) / (y1 - y0)
    return None


def seconds_to(curve, gain):
    """CPU seconds until the curve first stands `gain` above its start."""
    return first_at(curve, curve[0][1] + gain)


def clock_of(budget, seconds):
    """[how many iterations the budget pays for, CPU seconds of one], given those of some rehearsed ones, of which the first,
    which also fills caches, is not counted."""
    one = float(np.median(seconds[1:]))
    return [max(1, round(budget / one)), one]


def mean_and_spread(values, digits=3):
    """"0.823 ± 0.011": mean and standard deviation over seeds; of one seed the value alone."""
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def reached(seconds, digits=0):
    """Of `seconds_to` over seeds. Their mean says nothing where a seed is missing, so that is said instead."""
    there = [value for value in seconds if value is not None]
    if not there:
        return "not reached"
    if len(there) < len(seconds):
        return f"in {len(there)} of {len(seconds)} runs"
    return mean_and_spread(there, digits)


def envelope(curves, points=49):
    """(x, mean, least, most) of several curves on a grid from 0 to where the shortest ends."""
    grid = np.linspace(0.0, min(curve[-1][0] for curve in curves), points)
    values = np.array([np.interp(grid, *np.array(curve, float).T) for curve in curves])
    return grid, values.mean(0), values.min(0), values.max(0)
