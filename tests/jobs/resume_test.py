"""A run that is killed at any moment goes on as if nothing had happened."""

import json
import random
import shutil
import time

import pytest
from program import thalweg
from resuming import (assert_same, checkpoint_steps, finish, kill_after, kill_in_save, make_files, short_job, start,
                      wait_for)

KILLS, IN_SAVE = 2, 1  # tests/jobs/kill_campaign.py does more, of every method
# Both loops, trees, and what methods keep beside the policy: roles, a KL's coefficient.
TRIED = ["flow_grpo", "diffusion_nft", "dgpo", "flow_dpo", "mah_dpo", "tdm", "tdm_r1", "dmd2", "grpo_guard", "branch_grpo",
          "euphonium", "guidance_to_policy", "draft", "adjoint_matching"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module", params=TRIED)
def method(request):
    return request.param


@pytest.fixture(scope="module")
def whole(method, files):
    """The uninterrupted run: its folder, and how long it takes."""
    folder = files / f"{method}-whole" / "run"
    started = time.monotonic()
    finish(folder, short_job(files, method))
    return folder, time.monotonic() - started


def test_killed_runs_equal_the_uninterrupted_one(method, files, whole, tmp_path):
    draw, job = random.Random(5), short_job(files, method)
    for number in range(KILLS + IN_SAVE):
        folder = tmp_path / str(number) / "run"
        hit = in_save = False
        for _ in range(20):
            shutil.rmtree(folder.parent, ignore_errors=True)
            process = start(folder, job)
            if number < KILLS:
                hit, _ = kill_after(process, folder, draw.uniform(0.1, 0.9) * whole[1])
            else:
                hit, in_save = kill_in_save(process, folder, draw.randint(2, 5), draw.uniform(0, 0.01))
            if hit and (number < KILLS or in_save):
                break
        assert hit and (number < KILLS or in_save), "no kill came in time"
        finish(folder, job)
        assert_same(folder, whole[0])


def test_best_checkpoint_is_kept(files, tmp_path):
    """Trained away from what is measured, the first evaluation is the best one; only one checkpoint is to be kept."""
    job = short_job(files, "diffusion_nft", evaluate={"every": 1, "metric": "color/redness"},
                    checkpoint={"every": 3, "keep": 1}, optimizer={"learning_rate": 0.1}, ema_decay=0.0)
    job["rewards"] = [{"plugin": "color", "weight": -1}]
    folder = tmp_path / "run"
    finish(folder, job)
    best = json.loads((folder / "result.json").read_text())["checkpoint"]["step"]
    assert best < 6
    assert checkpoint_steps(folder) == [best, 6]


def test_finished_run_says_so(method, files, whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    job = {**short_job(files, method), "output": str(folder)}
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "job.json"}
    said = finish(folder, job)
    assert "this job is finished" in said
    assert {path: path.read_bytes() for path in before} == before
    (folder / "report.html").unlink()  # what is missing is made again
    finish(folder, job)
    assert_same(folder, whole[0])


def test_two_processes_in_one_folder(files, tmp_path):
    job = short_job(files, "diffusion_nft", method={"group_size": 2000, "prompts_per_iteration": 2})
    folder = tmp_path / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / "metrics.jsonl").exists())
    other = thalweg("run", tmp_path / "job.json")
    process.kill()
    process.communicate()
    assert other.returncode == 2 and "another process is running a job in" in other.stderr
