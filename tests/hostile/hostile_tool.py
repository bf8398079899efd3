"""Runs `hostile` of the build on many files in one process."""

import json
import os
import pathlib
import subprocess
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("THALWEG_BUILD", ROOT / "build" / "release"))
CONTROLS = "\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # of lines and direction
SANITIZED = BUILD.name == "asan"  # memory is not measured there


def outcomes(kind, paths, timeout=300):
    """What `hostile KIND` says of each path, in order; the process must survive them all."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1",
                   "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1", "UBSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run([BUILD / "hostile", kind], input="".join(f"{path}\n" for path in paths),
                          capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=environment)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    last = paths[min(len(results), len(paths) - 1)]
    assert done.returncode == 0, f"ended with {done.returncode} at {last}:\n{done.stderr[-4000:]}"
    assert done.stderr == "", done.stderr[-4000:]
    assert [result["path"] for result in results] == [str(path) for path in paths]
    return results


def assert_fit_to_show(result):
    """One line, not too long, that names the place."""
    text = f"{result['place']}: {result['message']}"
    assert result["message"] and result["place"], result
    assert len(text) < 3100 and not any(unicodedata.category(c) == "Cc" or c in CONTROLS for c in text), ascii(text)
