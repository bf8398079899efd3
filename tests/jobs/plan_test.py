"""`thalweg plan` says what a job will need: close to what it then takes, and for a large model without reading it."""

import json
import pathlib
import subprocess
import time

import pytest
from program import ENVIRONMENT, PROGRAM, ROOT, thalweg, write_job
from published_sizes import (FLUX_PARAMETERS, PARAMETERS, POSITIONS, WAN_PARAMETERS, make_flux_dev, make_sd35_medium,
                             make_wan_13b)

@pytest.fixture(scope="module")
def sd35_medium(tmp_path_factory):
    return make_sd35_medium(tmp_path_factory.mktemp("sd35") / "model")


@pytest.fixture(scope="module")
def flux_dev(tmp_path_factory):
    return make_flux_dev(tmp_path_factory.mktemp("flux") / "model")


def plan(path, *arguments):
    done = thalweg("plan", path, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shipped(name):
    return json.loads((ROOT / "assets" / "jobs" / f"{name}.json").read_text())


def peak_of_run(path, output):
    """VmHWM of the run in bytes. (The usage that wait4 tells would begin with this process's own peak.)"""
    process = subprocess.Popen([PROGRAM, "run", path, "--output", output], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd=ROOT, env={**ENVIRONMENT, "THALWEG_UNWATCHED": "1"})
    peak = 0
    while process.poll() is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        peak = max([peak, *(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.02)
    assert process.returncode == 0
    return peak


def test_a_rehearsal_comes_close(tmp_path):
    (tmp_path / "few.txt").write_text("\n".join(["a red circle", "two blue squares"] * 16) + "\n")
    job = shipped("redness_tiny")
    job["prompts"].update(select=str(tmp_path / "few.txt"), eval=str(tmp_path / "few.txt"))
    job.update(iterations=4, evaluate={**job["evaluate"], "every": 4})
    path = write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "never")})
    planned = plan(path, "--measure")
    assert planned["measured"] and planned["memory"]["fits"]
    assert not (tmp_path / "never").exists()  # a plan leaves nothing behind
    peak = peak_of_run(path, tmp_path / "run")
    assert 0.6 * peak < planned["memory"]["peak_bytes"] < 1.6 * peak
    phases = {phase["phase"]: phase for phase in planned["time"]["phases"]}
    assert {"load and encode", "rollout", "decode", "reward", "train", "optimizer", "evaluation", "checkpoint"} <= set(phases)
    assert all(phase["cpu_s"] >= 0 for phase in phases.values()) and phases["train"]["cpu_s"] > 0
    assert planned["time"]["total_s"] == pytest.approx(sum(phase["wall_s"] for phase in phases.values()))


def align_medium(model, tmp_path, **changes):
    job = shipped("redness_tiny")
    job["model"] = {"path": str(model), "dtype": "bfloat16", "vae_dtype": "bfloat16", "max_sequence_length": 256}
    job["sampler"].update(height=512, width=512)
    return write_job(tmp_path / "job.json", {**job, **changes, "output": str(tmp_path / "run")})


def test_a_large_model_is_planned_without_reading_it(sd35_medium, tmp_path):
    path = align_medium(sd35_medium, tmp_path)
    planned = plan(path)
    assert not planned["measured"]
    held = {item["name"]: item["bytes"] for item in planned["memory"]["held"]}
    assert held["transformer"] == 2 * (PARAMETERS + POSITIONS) and held["policy, float32"] == 4 * PARAMETERS
    assert held["policy's moments"] == 8 * PARAMETERS
    assert planned["memory"]["peak_bytes"] > 28e9
    advice = {item["setting"]: item for item in planned["advice"]}
    assert {"/model/lora", "/parallel/micro_batch"} <= set(advice)
    assert all(item["peak_bytes"] < planned["memory"]["peak_bytes"] for item in advice.values())
    adapter = plan(path, "--set", '/model/lora={"rank": 32}')
    assert adapter["memory"]["peak_bytes"] < planned["memory"]["peak_bytes"] - 12 * PARAMETERS
    # 2 x 24 blocks of 4 + 4 matrices [1536, 1536], but for the last block's to_add_out, at rank 32.
    held = {item["name"]: item["bytes"] for item in adapter["memory"]["held"]}
    assert held["policy, float32"] == 4 * (24 * 8 - 1) * 32 * 2 * 1536
    smaller = plan(path, "--set", "/parallel/micro_batch=16")
    assert smaller["memory"]["peak_bytes"] == pytest.approx(advice["/parallel/micro_batch"]["peak_bytes"], rel=0.05)
    shown = thalweg("plan", path)
    assert shown.returncode == 0 and "/parallel/micro_batch 32 -> 16" in shown.stdout


def test_flux_dev_is_planned_without_reading_it(flux_dev, tmp_path):
    path = align_medium(flux_dev, tmp_path)
    # Every parameter of the published model, and no other, is one of the policy.
    held = {item["name"]: item["bytes"] for item in plan(path)["memory"]["held"]}
    assert held["transformer"] == 2 * FLUX_PARAMETERS and held["policy, float32"] == 4 * FLUX_PARAMETERS
    lora = plan(path, "--set", '/model/lora={"rank": 32}', "--set", "/sampler/height=1024", "--set", "/sampler/width=1024",
                "--set", "/parallel/micro_batch=1", "--set", "/parallel/workers=1", "--set", "/model/max_sequence_length=512")
    held = {item["name"]: item["bytes"] for item in lora["memory"]["held"]}
    # 19 joint blocks of 8 square matrices and 4 of the perceptrons', 38 single blocks of 3.
    width = 3072
    assert held["policy, float32"] == 4 * 32 * (19 * (8 * 2 * width + 4 * 5 * width) + 38 * 3 * 2 * width)
    assert lora["memory"]["peak_bytes"] > 2 * FLUX_PARAMETERS
    # Kept are the inputs of 57 blocks, 4,608 tokens of the width in 2 bytes, and one block's own activations.
    saver = plan(path, "--set", '/model/lora={"rank": 32}', "--set", "/sampler/height=1024", "--set", "/sampler/width=1024",
                 "--set", "/parallel/micro_batch=1", "--set", "/parallel/workers=1", "--set", "/model/max_sequence_length=512",
                 "--set", "/model/activation_checkpointing=true")
    train = {p["memory"]["peak_bytes"]: next(t["bytes"] for t in p["memory"]["transient"] if t["name"] == "train") for p in (lora, saver)}
    whole, kept = train.values()
    assert 57 * 4608 * width * 2 < kept < whole / 10


def test_wan_is_planned_without_reading_it(tmp_path):
    path = align_medium(make_wan_13b(tmp_path / "model"), tmp_path)
    clip = ("--set", "/sampler/height=480", "--set", "/sampler/width=832", "--set", "/sampler/frames=81",
            "--set", "/parallel/micro_batch=1", "--set", "/parallel/workers=1", "--set", "/model/max_sequence_length=512")
    held = {item["name"]: item["bytes"] for item in plan(path, *clip)["memory"]["held"]}
    assert held["transformer"] == 2 * WAN_PARAMETERS and held["policy, float32"] == 4 * WAN_PARAMETERS
    lora = plan(path, "--set", '/model/lora={"rank": 32}', *clip)
    held = {item["name"]: item["bytes"] for item in lora["memory"]["held"]}
    assert held["policy, float32"] == 4 * 32 * 30 * 8 * 2 * 1536
    assert lora["memory"]["peak_bytes"] < plan(path, *clip)["memory"]["peak_bytes"]
    done = thalweg("plan", path, "--set", "/sampler/frames=80")
    assert done.returncode == 2 and "77 and 81" in done.stderr


def test_other_kinds_have_an_answer(tmp_path):
    for name in ("sample_tiny", "evaluate_tiny"):
        job = shipped(name)
        planned = plan(write_job(tmp_path / f"{name}.json", {**job, "output": str(tmp_path / "out")}), "--estimate")
        assert planned["job"] == job["job"] and planned["memory"]["peak_bytes"] > 0 and planned["time"]["total_s"] > 0
    assert not (tmp_path / "out").exists()
    done = thalweg("plan", ROOT / "assets" / "jobs" / "pretrain_tiny_sd3.json")
    assert done.returncode == 0 and done.stdout.startswith("pretrain: ") and "not predicted" in done.stdout


def test_a_job_on_a_gpu_is_planned_where_there_is_none(sd35_medium, tmp_path):
    path = align_medium(sd35_medium, tmp_path, device="cuda")
    planned = plan(path)
    held = {item["name"]: item["bytes"] for item in planned["memory"]["held"]}
    assert held["transformer"] == 2 * (PARAMETERS + POSITIONS) and held["policy's moments"] == 8 * PARAMETERS
    assert not {"program", "encoded prompts", "pictures kept"} & set(held)  # they stay with the processor
    assert planned["time"]["phases"] == [] and not planned["measured"] and "not predicted" in planned["note"]
    assert planned["memory"]["peak_bytes"] > 28e9 and "/model/lora" in {item["setting"] for item in planned["advice"]}
    shown = thalweg("plan", path)
    assert shown.returncode == 0 and "memory of the GPU" in shown.stdout and "Time of the whole run" not in shown.stdout
    done = thalweg("plan", path, "--measure")
    assert done.returncode == 2 and "--measure" in done.stderr


def test_what_is_wrong_with_the_job_is_an_error(sd35_medium, tmp_path):
    path = align_medium(sd35_medium, tmp_path)
    done = thalweg("plan", path, "--set", "/sampler/hight=4")
    assert done.returncode == 2 and "/sampler/hight" in done.stderr
    done = thalweg("plan", path, "--set", '/model/lora={"targets": ["attn.nothing"]}')
    assert done.returncode == 2 and "/model/lora/targets" in done.stderr
    assert thalweg("plan", path, "--measure", "--estimate").returncode == 2
