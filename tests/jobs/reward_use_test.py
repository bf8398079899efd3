"""What a reward is for, in a word: the combined reward, either kind of steering, or the curves alone."""

import json

import numpy as np
import pytest
from base_jobs import base_jobs
from guidance_test import FRAMES, HIDDEN, SOFT, latents, run
from job_errors_test import assert_refused
from program import validated

BEST = {"name": "best_of_n", "particles": 4}
DOWN = {**FRAMES, "config": {"kind": "linear", "scale": -1.2}}


def as_(use, reward):
    return {**reward, "use": use}


def scores(folder):
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def test_steering_by_clean_estimates_follows_the_guide(tmp_path):
    for steering in ([{"name": "dps"}], [BEST]):
        name = steering[0]["name"]
        x = latents(tmp_path / f"{name} guided", steering, [FRAMES, as_("guide", DOWN)])
        assert np.array_equal(x, latents(tmp_path / f"{name} down", steering, [DOWN]))
        assert np.abs(x - latents(tmp_path / f"{name} up", steering, [FRAMES])).max() > 0.1
        # Scored in the end, both; combined, the trained one alone.
        for row in scores(tmp_path / f"{name} guided"):
            assert row["reward"] == row["analytic/linear"] == pytest.approx(-row["analytic/linear#2"])


def test_steering_by_noisy_latents_follows_the_process(tmp_path):
    x = latents(tmp_path / "process", [{"name": "flow_nrg"}], [HIDDEN, as_("process", SOFT)])
    assert np.array_equal(x, latents(tmp_path / "soft", [{"name": "flow_nrg"}], [SOFT]))
    # Each method its own, in one list.
    both = [{"name": "flow_nrg"}, {"name": "dps"}]
    x = latents(tmp_path / "both", both, [HIDDEN, as_("process", SOFT), as_("guide", DOWN)])
    assert np.isfinite(x).all()
    assert np.abs(x - latents(tmp_path / "soft twice", both, [SOFT])).max() > 0.01


def test_to_watch_is_to_weigh_nothing(tmp_path):
    x = latents(tmp_path / "watch", [{"name": "dps"}], [FRAMES, as_("watch", HIDDEN)])
    assert np.array_equal(x, latents(tmp_path / "weight", [{"name": "dps"}], [FRAMES, {**HIDDEN, "weight": 0}]))
    assert scores(tmp_path / "watch") == scores(tmp_path / "weight")


@pytest.mark.parametrize("use, steering", [("process", [{"name": "dps"}]), ("guide", [{"name": "flow_nrg"}]),
                                           ("guide", []), ("process", [])], ids=str)
def test_what_nothing_follows_is_refused(tmp_path, use, steering):
    done = run(tmp_path / "run", steering, [SOFT, as_(use, SOFT)])
    assert_refused(done, "/rewards/1/use", f'"{use}"')
    assert '"watch"' in done.stderr and not (tmp_path / "run" / "latents.safetensors").exists()


@pytest.mark.parametrize("kind", ["align", "evaluate", "score"])
@pytest.mark.parametrize("use", ["guide", "process"])
def test_jobs_that_do_not_steer_refuse_it(tmp_path, kind, use):
    job = base_jobs(tmp_path)[kind]
    job["rewards"] = [{"plugin": "color"}, {"plugin": "scene", "use": use}]
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert_refused(validated(tmp_path / "job.json"), "/rewards/1/use", f'"{use}"')
