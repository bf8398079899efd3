"""packaging/: the Slurm script against a scheduler and a program of our own; what other tools read can be read."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from service_server import ROOT

PACKAGING = ROOT / "packaging"


@pytest.fixture
def slurm(tmp_path):
    """Starts the script with a `thalweg` that does `body`, and a `scontrol` that notes what it is told."""
    (tmp_path / "scontrol").write_text(f"#!/bin/bash\necho \"$@\" >> {tmp_path}/told\n")

    def start(body):
        (tmp_path / "thalweg").write_text(f"#!/bin/bash\necho \"$@\" > {tmp_path}/arguments\n{body}\n")
        for name in ("scontrol", "thalweg"):
            (tmp_path / name).chmod(0o755)
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
        return subprocess.Popen([PACKAGING / "slurm.sh", "job.json", "--set", "/seed=1"], env=environment, stdout=subprocess.PIPE, text=True)

    start.told = lambda: (tmp_path / "told").read_text() if (tmp_path / "told").exists() else ""
    start.folder = tmp_path
    return start


@pytest.mark.parametrize("code", [0, 1, 2])
def test_what_ends_is_not_queued_again(slurm, code):
    assert slurm(f"exit {code}").wait(timeout=60) == code
    assert slurm.told() == "" and (slurm.folder / "arguments").read_text() == "run job.json --set /seed=1\n"


def test_what_is_stopped_is_queued_again(slurm):
    script = slurm("trap 'sleep 0.5; exit 3' TERM; touch " + str(slurm.folder / "ready") + "; while true; do sleep 0.05; done")
    while not (slurm.folder / "ready").exists():
        time.sleep(0.02)
    script.send_signal(signal.SIGTERM)
    assert script.wait(timeout=60) == 3
    assert slurm.told() == "requeue 42\n"


def test_systemd_reads_the_unit():
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    text = (PACKAGING / "thalweg.service").read_text()
    done = subprocess.run(["systemd-analyze", "verify", PACKAGING / "thalweg.service"], capture_output=True, text=True)
    faults = [line for line in done.stderr.splitlines() if "thalweg.service" in line and "is not executable" not in line]
    assert not faults and "KillMode=mixed" in text


def test_kubernetes_ends_a_wrong_job_alone():
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((PACKAGING / "kubernetes.yaml").read_text())
    assert job["kind"] == "Job"
    (rule,) = [r for r in job["spec"]["podFailurePolicy"]["rules"] if r["action"] == "FailJob"]
    pod = job["spec"]["template"]["spec"]
    assert rule["onExitCodes"]["values"] == [2] and rule["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert pod["restartPolicy"] == "Never"  # the only one that a failure policy goes with
    mounts = {m["name"] for m in pod["containers"][0]["volumeMounts"]}
    assert mounts == {v["name"] for v in pod["volumes"]}


def test_the_image_uses_what_the_makefile_has():
    targets = re.findall(r"make (\w+) PREFIX", (PACKAGING / "Containerfile").read_text())
    assert targets == ["install"] and "\ninstall: release" in (ROOT / "Makefile").read_text()
