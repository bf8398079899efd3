"""Runs of a table kept beside its page, so that a table can be made over several days: what a run measured, by its job. A
later run of the same job is not made again, whatever machine and program made the first. Its clock, what an iteration of each
row costs, is of one machine: lengths and times of all runs go by it, and none depends on what else a machine does."""

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
        kept = json.loads(path.read_text()) if path.exists() and not anew else {"clock": {}, "runs": []}
        self.clock = kept["clock"]  # {row: [iterations within the budget, CPU seconds of one]}
        self.runs = {(run["row"], run["seed"]): run for run in kept["runs"]}

    def find(self, row, seed, job):
        run = self.runs.get((row, seed))
        return run if run and run["job"] == digest(job) else None

    def add(self, row, seed, job, run):
        self.runs[row, seed] = {"row": row, "seed": seed, "job": digest(job), **run}
        return self.runs[row, seed]

    def write(self):
        clock = ",\n".join(f"  {json.dumps(row)}: {json.dumps(self.clock[row])}" for row in sorted(self.clock))
        runs = ",\n".join("  " + json.dumps(self.runs[key]) for key in sorted(self.runs))
        self.path.write_text(f'{{"clock": {{\n{clock}\n}},\n"runs": [\n{runs}\n]}}\n')
