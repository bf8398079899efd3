"""What a run on several rewards tells of them: coefficients, cosines between their gradients, and each one's curve, in metrics.jsonl and as
charts of the report."""

import itertools

import pytest
from program import run_job
from resuming import METHODS, make_files, report_data, rows, short_job

NAMES = ["color/redness", "color/greenness", "jpeg/compressibility"]
REWARDS = [{"plugin": "color"}, {"plugin": "color", "config": {"channel": "green"}}, {"plugin": "jpeg"}]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = make_files(tmp_path_factory.mktemp("several"))
    (folder / "held_out.txt").write_text("".join(f"{number} red circles\n" for number in range(16)))  # enough for standard errors
    return folder


def run_of(files, folder, rewards, **aggregation):
    method = {**METHODS["diffusion_nft"]["method"], **aggregation}
    held_out = str(files / "held_out.txt")
    return run_job(folder, short_job(files, "diffusion_nft", rewards=rewards, method=method, iterations=4,
                                     prompts={"select": held_out, "eval": held_out}))


def charts(folder):
    return {chart["title"]: {series["name"]: series["points"] for series in chart["series"]} for chart in report_data(folder)["charts"]}


def points(folder, kind, key):
    return [[row["step"], row[key]] for row in rows(folder / "metrics.jsonl") if row["kind"] == kind and key in row]


@pytest.mark.parametrize("name", ["marble", "gradient_weights"])
def test_coefficients_cosines_and_curves_are_charts(name, files, tmp_path):
    run = run_of(files, tmp_path / "run", REWARDS, aggregation={"name": name, "every": 2})
    shown = charts(run)
    shares = {reward: points(run, "train", f"alpha_{reward}") for reward in NAMES}
    assert shown["Rewards in the direction"] == shares
    assert all(len(of_one) == 4 for of_one in shares.values())
    for step in range(4):
        assert sum(of_one[step][1] for of_one in shares.values()) == pytest.approx(1.0, abs=1e-9)
    pairs = {f"{a}_{b}": points(run, "train", f"cosine_{a}_{b}") for a, b in itertools.combinations(NAMES, 2)}
    assert shown["Gradients of two rewards"] == pairs
    for of_pair in pairs.values():
        assert [step for step, _ in of_pair] == [1, 3]  # every second update takes each reward's gradient
        assert all(-1.0 <= cosine <= 1.0 for _, cosine in of_pair)
    assert len({of_pair[0][1] for of_pair in pairs.values()}) == 3
    for reward in NAMES:
        held_out = points(run, "eval", reward)
        first, error = held_out[0][1], points(run, "eval", f"{reward}_stderr")[0][1]
        rises = [[step, pytest.approx((value - first) / error)] for step, value in held_out]
        assert shown["Trained rewards, each for itself"][reward] == rises
        assert shown["Training reward"][reward] == points(run, "train", f"reward_{reward}")


def test_of_one_reward_there_is_nothing_to_compare(files, tmp_path):
    shown = charts(run_of(files, tmp_path / "run", REWARDS[:1]))
    assert not shown["Rewards in the direction"] and not shown["Gradients of two rewards"]
    assert not shown["Trained rewards, each for itself"] and shown["Held-out reward"]
