"""The statistics of the methods' benchmark against hand tables."""

import argparse
import json
import pathlib
import sys

import numpy as np
import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent)]

import methods  # noqa: E402
from kept_runs import KeptRuns  # noqa: E402
from methods_statistics import (area, clock_of, envelope, held_out_curve, mean_and_spread, reached,  # noqa: E402
                                seconds_to, timed)

CURVE = [(0.0, 0.5), (10.0, 0.6), (30.0, 0.58), (40.0, 0.78)]


def test_curve_counts_the_iterations_before_each_evaluation():
    train = {"kind": "train"}
    rows = [{"kind": "eval", "strict": 0.5}, train, train, {"kind": "eval", "strict": 0.6}, train, {"kind": "note"},
            {"kind": "eval", "strict": 0.7}]
    curve = held_out_curve(rows, "strict")
    assert curve == [(0, 0.5), (2, 0.6), (3, 0.7)]
    assert timed(curve, 1.5) == [(0.0, 0.5), (3.0, 0.6), (4.5, 0.7)]


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


def test_clock():
    assert clock_of(240.0, [9.0, 2.0, 2.1, 1.9]) == [120, 2.0]
    assert clock_of(1.0, [0.1, 30.0]) == [1, 30.0]


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


def arguments_for(folder, split="world"):
    return argparse.Namespace(folder=folder, split=split, cpu_seconds=40.0, seeds=2, points=12, only=None, at_once=1,
                              finished=False, kept=KeptRuns(folder / "kept.json"))


def test_a_row_of_the_table(tmp_path):
    final = {"world": {"scene/strict": 0.7, "scene/soft": 0.8}, "hard": {"scene/strict": 0.1, "scene/soft": 0.6}}
    arguments = arguments_for(tmp_path)
    arguments.kept.clock["awm_tiny"] = [20, 2.0]
    run = {"curve": [(x / 2.0, y) for x, y in CURVE], "final": final}
    line = methods.line_of(arguments, "AWM", "awm_tiny", [run])
    assert line == ("| AWM | `awm_tiny` | all weights | 1 | 20 | 40 | 0.700 | 0.800 | 0.100 | 0.600 | 0.602 | 8 | 36 |")
    table = methods.table(arguments, [final], [("AWM", "awm_tiny", [run])])
    assert {row.count("|") for row in table.splitlines()} == {14}


def test_a_job_keeps_its_settings_but_for_length_prompts_and_cores(tmp_path):
    for _, name in methods.ROWS:
        own = json.loads((methods.ROOT / f"assets/jobs/{name}.json").read_text())
        job = methods.job_of(arguments_for(tmp_path, "hard"), name, 3, 100, tmp_path)
        changed = {key for key in job if job[key] != own.get(key)}
        assert changed <= {"prompts", "iterations", "seed", "output", "evaluate", "checkpoint", "parallel"}
        assert job["prompts"]["train"] == "assets/prompts/scenes/hard_train.txt"
        assert job["parallel"]["workers"] == 1 and job["evaluate"]["every"] == 9 and job["iterations"] == 100


def test_one_failed_run_leaves_its_row_out_and_the_others_stay(tmp_path, monkeypatch):
    def fail_once(arguments, name, seed):
        if (name, seed) == ("nft_tiny", 1):
            raise methods.subprocess.CalledProcessError(1, "thalweg")
        return {"seed": seed}

    monkeypatch.setattr(methods, "rehearsal", lambda arguments, name: True)
    monkeypatch.setattr(methods, "run", fail_once)
    rows = methods.results(arguments_for(tmp_path))
    assert [name for _, name, _ in rows] == [name for _, name in methods.ROWS if name != "nft_tiny"]
    assert rows[0][2] == [{"seed": 0}, {"seed": 1}]


def test_a_run_is_kept_while_its_job_is_the_same(tmp_path):
    job = {"seed": 1, "iterations": 70, "output": "runs/a", "evaluate": {"every": 7, "steps": 28}}
    kept = KeptRuns(tmp_path / "kept.json")
    kept.clock["awm_tiny"] = [70, 3.5]
    kept.add("awm_tiny", 1, job, {"curve": CURVE})
    kept.add("awm_tiny", 0, {"seed": 0}, {"curve": CURVE})
    kept.write()
    again = KeptRuns(tmp_path / "kept.json")
    elsewhere = {**job, "output": "runs/b", "iterations": 1, "evaluate": {"every": 9, "steps": 28}}
    assert again.find("awm_tiny", 1, elsewhere)["curve"] == [list(point) for point in CURVE]
    assert again.find("awm_tiny", 2, job) is None
    assert again.find("awm_tiny", 1, {**job, "evaluate": {"every": 7, "steps": 14}}) is None
    assert again.clock == {"awm_tiny": [70, 3.5]}
    anew = KeptRuns(tmp_path / "kept.json", anew=True)
    assert anew.find("awm_tiny", 1, job) is None and not anew.clock
