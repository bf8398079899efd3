"""The GPU bench at full size needs a GPU; its own steps (model, job, figures) are tried here with a small model."""

import json
import subprocess
import sys

from program import PROGRAM, ROOT


def test_bench_runs_with_a_small_model(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tests" / "bench" / "gpu_sd35.py", "--program", PROGRAM, "--folder",
                           tmp_path, "--size", "small", "--device", "cpu"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout[done.stdout.index("{\n"):])
    assert figures["iterations"] == 2 and len(figures["iterations_after_the_first_s"]) == 1
    assert {"rollout", "decode", "reward", "train", "optimizer"} <= set(figures["phases_of_all_iterations"])
    assert figures["peak_memory_bytes"] > 0
    job = json.loads((tmp_path / "run" / "job.json").read_text())
    assert job["model"]["activation_checkpointing"] is True and job["device"] == "cpu"
