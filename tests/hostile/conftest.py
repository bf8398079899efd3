"""Lets these tests use the base jobs of tests/jobs, the program's runner of tests/reference, the seeds of tests/fuzz
and the scripts of docs/."""

import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "jobs"), str(TESTS / "reference"), str(TESTS / "fuzz"), str(TESTS.parent / "docs")]
