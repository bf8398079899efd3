"""Runs the program of the build on a job."""

import json
import os
import subprocess
import time

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


def write_job(path, job):
    path.write_text(json.dumps({"version": 1, **job}))
    return path


def run_job(folder, job, *arguments):
    """Runs `job` with the output folder `folder`, which must succeed."""
    path = write_job(folder.parent / f"{folder.name}.json", {**job, "output": str(folder)})
    done = thalweg("run", path, *arguments)
    assert done.returncode == 0, done.stderr
    return folder
