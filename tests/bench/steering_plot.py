"""The plot of the steering benchmark."""

import numpy as np

from chart import Chart, color_cycle, wide
from steering_rows import MULTIPLES, STEPS


def plot(curves, base, key, path):
    """`curves`: {name: [(evaluations, mean)]}; evaluations on a logarithmic axis."""
    ys = [y for points in curves.values() for _, y in points] + [base[1]]
    chart = Chart([STEPS * n for n in (1, *MULTIPLES)], wide(ys), np.log2)
    for color, points in zip(color_cycle(), curves.values()):
        chart.line([base] + sorted(points), color)
        chart.dots(points, color)
    chart.write(path, curves, "network evaluations a sample", f"{key}, mean")
