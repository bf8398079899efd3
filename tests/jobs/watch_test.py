"""The small process that watches a run: signals reach the one that works once, and it never works alone."""

import fcntl
import json
import os
import pathlib
import pty
import signal
import subprocess
import termios
import time

import pytest
from parity_tool import BUILD
from program import ENVIRONMENT, PROGRAM, ROOT, thalweg, write_job
from truth_test import jobs_in, worker_of


@pytest.fixture
def job(tmp_path):
    """Scores six pictures one at a time; its reward dies, or hangs, where THALWEG_DIES says."""
    return {**jobs_in(tmp_path)["score"], "batch_size": 1, "output": str(tmp_path / "run")}


signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the program ignores it under nohup, and so would these runs


def start(tmp_path, job, **environment):
    """The process, once it has begun. In a group of its own, which is no orphan: those are never suspended."""
    process = subprocess.Popen([PROGRAM, "run", write_job(tmp_path / "job.json", job)], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, cwd=ROOT, env={**ENVIRONMENT, **environment},
                               process_group=0)
    wait_until(lambda: (tmp_path / "run" / "job.json").exists())
    return process


def wait_until(ready):
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def state(pid):
    """"R", "S", "T" for stopped, ..., "Z"; "" when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def status(tmp_path):
    return json.loads((tmp_path / "run" / "result.json").read_text())["status"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_hanging_plugin_is_given_up_after_a_while(job, tmp_path, number):
    process = start(tmp_path, job, THALWEG_DIES="score:1:hang", THALWEG_GRACE_SECONDS="0.3")
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3 and status(tmp_path) == "stopped"
    assert 'the reward "dies" has not returned from score' in said and "the run is stopped without it" in said


def test_a_second_signal_ends_a_hanging_plugin_at_once(job, tmp_path):
    process = start(tmp_path, job, THALWEG_DIES="score:1:hang")
    process.send_signal(signal.SIGINT)
    for line in process.stdout:
        if 'the reward "dies" has not returned from score; if it does not in' in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT and status(tmp_path) == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_picks_out_the_worker_stops_the_run(job, tmp_path, number):
    """Also one whose plugin ignores the signal."""
    job["rewards"] = [{"plugin": str(BUILD / "tests/plugins/careless.so"), "isolation": "inproc"}]
    job.update(prompts={"texts": ["x"] * 4000}, frames=many_frames(tmp_path))
    process = start(tmp_path, job)
    process.stdout.readline()  # it scores
    os.kill(worker_of(process), number)
    process.communicate(timeout=60)
    assert process.returncode == 3 and status(tmp_path) == "stopped"


def many_frames(tmp_path):
    import numpy as np
    from safetensors.numpy import save_file
    save_file({"frames": np.zeros((4000, 1, 3, 64, 64), np.float32)}, tmp_path / "many.safetensors")
    return str(tmp_path / "many.safetensors")


def test_a_key_of_the_terminal_counts_once(job, tmp_path):
    """Ctrl-C goes to every process of the terminal's group."""
    main, other = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    environment = {**ENVIRONMENT, "THALWEG_DIES": "score:1:hang", "THALWEG_GRACE_SECONDS": "1"}
    process = subprocess.Popen([PROGRAM, "run", write_job(tmp_path / "job.json", job)], stdin=other, stdout=other,
                               stderr=other, cwd=ROOT, env=environment, preexec_fn=own_terminal)
    os.close(other)
    wait_until(lambda: (tmp_path / "run" / "job.json").exists())
    os.write(main, b"\x03")
    said = b""
    try:
        while piece := os.read(main, 4096):
            said += piece
    except OSError:  # the last process has closed it
        pass
    assert process.wait(timeout=60) == 3, said
    assert said.count(b"stopping, as soon as") == 1 and status(tmp_path) == "stopped"


def test_the_worker_dies_with_its_watcher_and_the_folder_is_free(job, tmp_path):
    process = start(tmp_path, job, THALWEG_DIES="score:1:hang")
    worker = worker_of(process)
    process.kill()
    process.wait()
    again = thalweg("run", tmp_path / "job.json")  # at once
    assert again.returncode == 0, again.stderr
    assert state(worker) in ("", "Z") and status(tmp_path) == "succeeded"


def test_a_suspended_run_goes_on(job, tmp_path):
    process = start(tmp_path, job, THALWEG_DIES="score:1:hang", THALWEG_GRACE_SECONDS="0")
    worker = worker_of(process)
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: state(process.pid) == "T" and state(worker) == "T")
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: state(process.pid) != "T" and state(worker) != "T")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 3


def test_a_signal_before_the_job_begins_is_like_any_other(job, tmp_path):
    (tmp_path / "run").mkdir()
    folder = os.open(tmp_path / "run", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # the job waits for it, and so has not begun
    process = subprocess.Popen([PROGRAM, "run", write_job(tmp_path / "job.json", job)], cwd=ROOT, env=ENVIRONMENT)
    wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM
    os.close(folder)
    assert not list((tmp_path / "run").iterdir())


def test_it_can_be_left_out(job, tmp_path):
    process = start(tmp_path, job, THALWEG_DIES="score:1:hang", THALWEG_UNWATCHED="1")
    with pytest.raises(IndexError):
        worker_of(process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)


@pytest.mark.parametrize("how", ["_exit", "exit", "segv"])
def test_a_plan_is_watched_too(tmp_path, how):
    """It loads plugins, and scores with them."""
    path = write_job(tmp_path / "job.json", {**jobs_in(tmp_path)["sample"], "output": str(tmp_path / "run")})
    done = subprocess.run([PROGRAM, "plan", path, "--measure"], cwd=ROOT, capture_output=True, text=True,
                          env={**ENVIRONMENT, "THALWEG_DIES": f"init:1:{how}"})
    assert done.returncode == 1 and 'while the reward "dies" was in init' in done.stderr
    assert not (tmp_path / "run").exists()


def test_closed_descriptors_of_the_program_take_no_file(job, tmp_path):
    path = write_job(tmp_path / "job.json", job)
    done = subprocess.run(f"exec {PROGRAM} run {path} <&- >&- 2>&-", shell=True, cwd=ROOT, env=ENVIRONMENT)
    assert done.returncode == 0 and status(tmp_path) == "succeeded"
