"""Runs of a table kept beside its page, so that a table can be made over several days: what a run measured, by its job. A
later run of the same job is not made again, whatever machine and program made the first."""

import copy
import hashlib
import json


def digest(job):
    """Of what a run's numbers depend on in its job: not where it writes, nor its length, which is the row's."""
    same = {key: value for key, value in copy.deepcopy(job).items() if key not in ("output", "iterations")}
    for section in ("evaluate", "checkpoint"):
        same.get(section, {}).pop("every", None)
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]


class KeptRuns:
    def __init__(self, path, anew=False):
        self.path = path
        rows = json.loads(path.read_text()) if path.exists() and not anew else []
        self.runs = {(run["row"], run["seed"]): run for run in rows}

    def iterations(self, row):
        """Of a row some of whose runs are there: the others have as many."""
        return next((run["iterations"] for run in self.runs.values() if run["row"] == row), None)

    def find(self, row, seed, job):
        run = self.runs.get((row, seed))
        return run if run and run["job"] == digest(job) else None

    def add(self, row, seed, job, run):
        self.runs[row, seed] = {"row": row, "seed": seed, "job": digest(job), **run}
        return self.runs[row, seed]

    def write(self):
        lines = [json.dumps(self.runs[key]) for key in sorted(self.runs)]
        self.path.write_text("[\n" + ",\n".join(lines) + "\n]\n")
