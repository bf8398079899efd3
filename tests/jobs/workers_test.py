"""What must not change the numbers of an `align` job does not: workers, micro-batches, a stop and a resume."""

import json
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
import resuming
import tiny_sd3
from program import ENVIRONMENT, PROGRAM, ROOT, run_job, thalweg, write_job

METHODS = {
    "flow_grpo": {"name": "flow_grpo", "prompts_per_iteration": 2, "group_size": 8, "kl_beta": 0.01},
    "diffusion_nft": {"name": "diffusion_nft", "prompts_per_iteration": 2, "group_size": 8, "times_per_sample": 2,
                      "old_policy": {"rate": 0.2}},
    "awm": {"name": "awm", "prompts_per_iteration": 2, "group_size": 8, "times_per_sample": 2, "ema": {"rate": 0.2}},
    "dgpo": {"name": "dgpo", "prompts_per_iteration": 2, "group_size": 8, "times_per_sample": 2, "clip_range": 0.1,
             "average": {"rate": 0.2, "maximum": 0.9}},
    "crd": {"name": "crd", "prompts_per_iteration": 2, "group_size": 8, "times_per_sample": 2, "kl_guidance": 1.5},
    "tdm": {"name": "tdm", "prompts_per_iteration": 8, "guidance_scale": 1.5,
            "critic": {"alone": 0, "optimizer": {"learning_rate": 0.01}}},
    "dmd2": {"name": "dmd2", "prompts_per_iteration": 8, "guidance_scale": 1.5,
             "critic": {"updates": 2, "alone": 0, "optimizer": {"learning_rate": 0.01}}},
    "reward_forcing": {"name": "reward_forcing", "prompts_per_iteration": 2, "group_size": 8, "guidance_scale": 1.5,
                       "critic": {"updates": 2, "alone": 0, "optimizer": {"learning_rate": 0.01}}},
    "tdm_r1": {"name": "tdm_r1", "prompts_per_iteration": 2, "group_size": 8, "guidance_scale": 1.5, "states": 2,
               "critic": {"alone": 0, "states": 1, "optimizer": {"learning_rate": 0.01}},
               "surrogate": {"loss": {"name": "contrast"}, "updates": 2, "excess": {"above": 0.0, "beta": 1.0},
                             "optimizer": {"learning_rate": 0.01}}},
}
SAMPLERS = {"flow_grpo": {"name": "flow_sde", "window": {"begin": 0, "size": 2, "policy": "random"}},
            "diffusion_nft": {"name": "flow_ode", "guidance_scale": 1.5}, "awm": {"name": "heun"},
            "dgpo": {"name": "flow_ode", "guidance_scale": 1.5}, "crd": {"name": "dpmpp_2m"}}
# The others as they are resumed.
for _name, _parts in resuming.METHODS.items():
    METHODS.setdefault(_name, _parts["method"])
    SAMPLERS.setdefault(_name, _parts["sampler"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("align")
    tiny_sd3.make_folder(folder / "model", seed=80)
    (folder / "prompts.txt").write_text("a red circle\ntwo blue squares\na big green triangle\n")
    return folder


def align_job(files, method_name, **changes):
    prompts = str(files / "prompts.txt")
    job = {"job": "align", "model": {"path": str(files / "model"), "max_sequence_length": 1,
                                     "lora": {"rank": 2, "alpha": 4}},
           "prompts": {"train": prompts, "select": prompts, "eval": prompts},
           "sampler": {"steps": 4, "height": 16, "width": 16, **SAMPLERS[method_name]},
           "rewards": [{"plugin": "color"}], "method": METHODS[method_name],
           "optimizer": {"learning_rate": 0.01, "warmup_iterations": 2}, "ema_decay": 0.9, "iterations": 3,
           "evaluate": {"every": 2, "steps": 4, "pictures": 2}, "checkpoint": {"every": 2, "keep": 5},
           "parallel": {"workers": 1, "lanes": 2, "micro_batch": 4}, "seed": 11}
    for pointer, value in changes.items():
        section, _, key = pointer.partition("__")
        if key:
            job[section] = {**job[section], key: value}
        else:
            job[section] = value
    return job


def rows(folder):
    """metrics.jsonl without the times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if not key.startswith("time_")} for line in lines]


def lora(folder):
    return (folder / "pytorch_lora_weights.safetensors").read_bytes()


def first_training_row(folder):
    return next(row for row in rows(folder) if row["kind"] == "train")


def assert_same_run(one, other):
    assert rows(one) == rows(other)
    assert lora(one) == lora(other)


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return request.param


@pytest.fixture(scope="module")
def whole_run(method, files):
    return run_job(files / f"{method}-whole", align_job(files, method, iterations=8))


@pytest.fixture(scope="module")
def short_run(method, files):
    return run_job(files / f"{method}-short", align_job(files, method))


@pytest.fixture
def copied_run(short_run, tmp_path):
    return pathlib.Path(shutil.copytree(short_run, tmp_path / "run"))


def test_workers(method, files, short_run, tmp_path):
    one = short_run
    two = run_job(tmp_path / "two", align_job(files, method, parallel__workers=2))
    three = run_job(tmp_path / "three", align_job(files, method, parallel__workers=3))
    assert len([row for row in rows(one) if row["kind"] == "train"]) == 3
    assert_same_run(one, two)
    assert_same_run(one, three)
    other = run_job(tmp_path / "other", align_job(files, method, seed=12))
    assert rows(one) != rows(other) and lora(one) != lora(other)


def test_micro_batches(method, files, tmp_path):
    updates = {"method": {**METHODS[method], "updates": 1}, "iterations": 1}
    runs = [first_training_row(run_job(tmp_path / str(size), align_job(files, method, parallel__micro_batch=size,
                                                                      **updates))) for size in (16, 4, 5)]
    compared = [key for key in runs[0] if key.startswith("reward") or key == "grad_norm"]
    scored = set() if method in ("tdm", "dmd2", "guidance_distill", "guidance_to_policy") else {"reward", "reward_color/redness"}
    assert {"grad_norm", *scored} <= set(compared)
    for run in runs[1:]:
        for key in compared:
            tolerance = {"rel": 1e-5, "abs": 0} if key == "grad_norm" else {"abs": 1e-5}
            assert run[key] == pytest.approx(runs[0][key], **tolerance), key


def test_policy_is_the_one_that_drew(files, tmp_path):
    row = first_training_row(run_job(tmp_path / "run", align_job(files, "flow_grpo", iterations=1)))
    assert 0 <= row["ratio_dev_first_step"] <= 1e-5


def stop_after(folder, job, iterations, number):
    """Runs the job and sends the signal once that many iterations are in metrics.jsonl."""
    path = write_job(folder.parent / f"{folder.name}.json", {**job, "output": str(folder)})
    process = subprocess.Popen([PROGRAM, "run", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=ROOT, env=ENVIRONMENT)
    metrics = folder / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.read_text().count('"kind":"train"') >= iterations):
        assert process.poll() is None and time.monotonic() < deadline, "the run ended before it was stopped"
        time.sleep(0.002)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    return path, process.returncode, stdout + stderr


def checkpoints(folder):
    return sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))


def test_stop_and_resume(method, files, whole_run, tmp_path):
    folder = tmp_path / "stopped"
    path, code, output = stop_after(folder, align_job(files, method, iterations=8), 3, signal.SIGTERM)
    assert code == 3, output
    assert "run the same command to go on" in output
    assert json.loads((folder / "result.json").read_text())["status"] == "stopped"
    done = checkpoints(folder)[-1]
    assert 3 <= done < 8 and rows(folder)[-1]["step"] == done
    assert not (folder / "pytorch_lora_weights.safetensors").exists()
    resumed = thalweg("run", path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming at iteration {done}" in resumed.stdout + resumed.stderr
    assert_same_run(folder, whole_run)


def test_kill_and_resume(method, files, whole_run, tmp_path):
    """SIGKILL leaves the last whole checkpoint; what was reported after it is done again."""
    folder = tmp_path / "killed"
    path, code, _ = stop_after(folder, align_job(files, method, iterations=8), 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert 2 in checkpoints(folder) and 8 not in checkpoints(folder)
    resumed = thalweg("run", path, "--set", "/parallel/workers=2")
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(folder, whole_run)


def test_folder_of_another_job_is_refused(method, files, copied_run, tmp_path):
    folder = copied_run
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    other = align_job(files, method, seed=12)
    done = thalweg("run", write_job(tmp_path / "other.json", {**other, "output": str(folder)}))
    assert done.returncode == 2
    assert done.stderr.startswith("thalweg: /output: ") and "belongs to another job" in done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_finished_run_again(method, files, short_run, copied_run):
    """Nothing is left to do: the same results once more."""
    run_job(copied_run, align_job(files, method))
    assert_same_run(copied_run, short_run)


def test_resolved_job_gives_the_same_run(short_run, tmp_path):
    """job.json spells out every default; running it is running the job."""
    resolved = short_run / "job.json"
    assert json.loads(resolved.read_text())["optimizer"]["beta2"] == 0.999
    done = thalweg("run", resolved, "--output", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert_same_run(short_run, tmp_path / "again")


def test_prompts_are_encoded_alike_by_any_number_of_workers_and_threads(tmp_path):
    """A text encoder's products round otherwise when they are split over threads: these of the embedded model do."""
    job = {"job": "sample", "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1,
                                      "prompt_cache": {"max_gb": 0}},
           "prompts": {"texts": ["a red circle", "two blue squares and a green triangle",
                                 "a yellow square left of a purple circle"]},
           "sampler": {"name": "flow_ode", "steps": 2, "guidance_scale": 2.0, "height": 64, "width": 64},
           "save_images": False, "save_latents": True}
    drawn = set()
    for threads, workers in (("1", 1), ("2", 1), ("4", 3)):
        folder = tmp_path / threads
        path = write_job(tmp_path / f"{threads}.json", {**job, "parallel": {"workers": workers}, "output": str(folder)})
        subprocess.run([PROGRAM, "run", path], check=True, cwd=ROOT, env={**ENVIRONMENT, "OMP_NUM_THREADS": threads})
        drawn.add((folder / "latents.safetensors").read_bytes())
    assert len(drawn) == 1
