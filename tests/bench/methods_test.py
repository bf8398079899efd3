"""The statistics of the methods' benchmark against hand tables."""

import pathlib
import sys

import numpy as np
import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent)]

from methods_statistics import (area, envelope, held_out_curve, iterations_within, mean_and_spread,  # noqa: E402
                                reached, seconds_to)

CURVE = [(0.0, 0.5), (10.0, 0.6), (30.0, 0.58), (40.0, 0.78)]


def train(seconds):
    return {"kind": "train", "time_phases": {"iteration": {"cpu_s": seconds}}}


def test_curve_counts_the_iterations_before_each_evaluation():
    rows = [{"kind": "eval", "strict": 0.5}, train(1.0), train(2.0), {"kind": "eval", "strict": 0.6}, train(4.0),
            {"kind": "note"}, {"kind": "eval", "strict": 0.7}]
    assert held_out_curve(rows, "strict") == [(0.0, 0.5), (3.0, 0.6), (7.0, 0.7)]


def test_area_is_the_mean_over_the_budget():
    # 10 * 0.55 + 20 * 0.59 + 10 * 0.68 = 24.1
    assert area(CURVE, 40.0) == pytest.approx(24.1 / 40)
    assert area(CURVE, 50.0) == pytest.approx((24.1 + 10 * 0.78) / 50)  # it stays where it ended
    assert area(CURVE, 20.0) == pytest.approx((10 * 0.55 + 10 * 0.595) / 20)  # cut at 0.59
    assert area([(0.0, 0.4)], 10.0) == pytest.approx(0.4)


def test_seconds_to_a_gain_lie_on_the_line_where_it_is_first_met():
    assert seconds_to(CURVE, 0.05) == pytest.approx(5.0)
    assert seconds_to(CURVE, 0.1) == pytest.approx(10.0)
    assert seconds_to(CURVE, 0.2) == pytest.approx(36.0)  # not on the way down from 0.6
    assert seconds_to(CURVE, 0.3) is None
    assert seconds_to([(0.0, 0.5)], 0.0) is None


def test_iterations_within_a_budget():
    assert iterations_within(240.0, [9.0, 2.0, 2.1, 1.9]) == 120
    assert iterations_within(1.0, [0.1, 30.0]) == 1


def test_seeds():
    assert mean_and_spread([0.8]) == "0.800"
    assert mean_and_spread([0.8, 0.9, 0.7]) == "0.800 ± 0.100"
    assert reached([10.0, 20.0]) == "15 ± 7"
    assert reached([10.0, None, 30.0]) == "in 2 of 3 runs"
    assert reached([None, None]) == "not reached"


def test_envelope_ends_with_the_shortest_curve():
    grid, mean, least, most = envelope([[(0.0, 0.0), (10.0, 1.0)], [(0.0, 0.2), (20.0, 0.2)]], points=3)
    assert np.allclose(grid, [0.0, 5.0, 10.0])
    assert np.allclose(least, [0.0, 0.2, 0.2]) and np.allclose(most, [0.2, 0.5, 1.0])
    assert np.allclose(mean, [0.1, 0.35, 0.6])
