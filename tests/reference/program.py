"""Runs the program of the build on a job, or asks it about one."""

import functools
import json
import os
import pathlib
import subprocess
import time
import types

from parity_tool import BUILD, ROOT

PROGRAM = BUILD / "thalweg"
# One thread each: the tests' models are too small for more, and their numbers must not depend on the machine.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def thalweg(*arguments, timeout=300):
    """The finished process: returncode, stdout, stderr, and `seconds` that it took."""
    assert PROGRAM.is_file(), f"{PROGRAM} is not built; THALWEG_BUILD names the build folder"
    started = time.monotonic()
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, cwd=ROOT,
                          env=ENVIRONMENT)
    done.seconds = time.monotonic() - started
    return done


@functools.cache
def answering():
    """`thalweg answer`, which ends with this process, whose end of its input it reads."""
    return subprocess.Popen([PROGRAM, "answer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT)


def validated(path):
    """As `thalweg("validate", path)`: the same check by a process that is there already (job_errors_test.py holds both together)."""
    process = answering()
    process.stdin.write(json.dumps({"ask": "validate", "job": json.loads(pathlib.Path(path).read_text())}) + "\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline() or "{}")
    assert answer, f"{PROGRAM} answer is gone: {process.wait()}"
    error = answer.get("error")
    if error is None:
        return types.SimpleNamespace(returncode=0, stdout=f"{path}: a valid job\n", stderr="")
    place = f"{error['place']}: " if error["place"] else ""
    return types.SimpleNamespace(returncode={"user": 2}.get(error["kind"], 1), stdout="", stderr=f"thalweg: {place}{error['message']}\n")


def write_job(path, job):
    path.write_text(json.dumps({"version": 1, **job}))
    return path


def run_job(folder, job, *arguments):
    """Runs `job` with the output folder `folder`, which must succeed."""
    path = write_job(folder.parent / f"{folder.name}.json", {**job, "output": str(folder)})
    done = thalweg("run", path, *arguments)
    assert done.returncode == 0, done.stderr
    return folder
