"""What a shipped job names and the repository does not hold (a published model and its prompts, the model that another job trains),
replaced by what is there: the arguments that `thalweg validate` then takes.

    python3 tests/jobs/stand_ins.py JOB.json      # prints them, one a line
"""

import json
import pathlib
import sys

MODEL = "assets/models/tiny-sd3"
PROMPTS = {part: f"assets/prompts/scenes/{part}.txt" for part in ("train", "select", "eval")}


def is_here(path):
    return path.startswith("assets/")


def stand_ins(job):
    settings = []
    if not is_here(job.get("model", {}).get("path", MODEL)):
        settings.append(f"/model/path={MODEL}")
    if not is_here(job.get("prompts", {}).get("folder", MODEL)):
        settings.append(f"/prompts={json.dumps(PROMPTS)}")
    return [word for setting in settings for word in ("--set", setting)]


if __name__ == "__main__":
    for word in stand_ins(json.loads(pathlib.Path(sys.argv[1]).read_text())):
        print(word)
