"""Do two builds compute the same numbers? Runs the jobs of assets/jobs/ with both programs and compares what they
leave, bit for bit: for a change that moves code and must not move a number.

    python3 tests/same_numbers.py OLD/build/release/thalweg build/release/thalweg [--jobs demo,steer_tiny] [--whole]

Compared are metrics.jsonl, scores.jsonl and result.json but for fields named time_* and memory_*, every safetensors file
that is written (weights, latents, frames), the tensors of every checkpoint whatever their files are called, and every PNG. Jobs are cut to a few
iterations and prompts unless --whole is given; a job that only the new program knows is left out and named. Both run in one go,
so the CPU seconds at the end are a fair pair.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHORT = {
    "align": {"/iterations": 3, "/evaluate/every": 2, "/evaluate/steps": 6, "/checkpoint/every": 2},
    "pretrain": {"/data/images": 512, "/vae/steps": 12, "/flow/steps": 12, "/checkpoint/every": 5},
}
PROMPTS = 24  # of each file, in a short run
UNCOMPARED = re.compile(r"time_|memory_")
CHECKPOINT = re.compile(r"checkpoint-\d+/")


def shortened(job, folder):
    """The job with less to do, its prompt files cut."""
    job = json.loads(json.dumps(job))
    for pointer, value in SHORT.get(job["job"], {}).items():
        *place, key = pointer.split("/")[1:]
        section = job
        for name in place:
            section = section.setdefault(name, {})
        section[key] = value
    for key, path in job.get("prompts", {}).items():
        if isinstance(path, str):
            few = folder / pathlib.Path(path).name
            few.write_text("\n".join((ROOT / path).read_text().splitlines()[:PROMPTS]) + "\n")
            job["prompts"][key] = str(few)
    return job


def run(program, job, folder):
    """Runs the job in `folder`/run; its CPU seconds."""
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps(job))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A folder of its own as working directory: every path of the output is the same in both.
    links = {name: ROOT / name for name in ("assets",)}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run([program, "run", "job.json", "--output", "run"], cwd=folder, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{program} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def numbers(value):
    """JSON without what may differ."""
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items() if not UNCOMPARED.match(key)}
    return [numbers(item) for item in value] if isinstance(value, list) else value


def tensors(path):
    """Name to dtype, shape and digest of every tensor of a safetensors file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    return {name: (at["dtype"], tuple(at["shape"]),
                   hashlib.sha256(data[8 + size + at["data_offsets"][0] : 8 + size + at["data_offsets"][1]]).hexdigest())
            for name, at in header.items()}


def left_by(folder):
    """What a run left, by a name under which both programs leave it."""
    left = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors":
            found = tensors(path)
            step = CHECKPOINT.match(name)
            if step:  # the layout of a checkpoint may change, its tensors may not
                left.setdefault(step[0] + "tensors", []).extend(found.values())
            else:
                left[name] = found
        elif path.suffix == ".png":
            left[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif name in ("metrics.jsonl", "scores.jsonl"):
            left[name] = [numbers(json.loads(line)) for line in path.read_text().splitlines()]
        elif name == "result.json":
            left[name] = numbers(json.loads(path.read_text()))
    return {name: sorted(value) if name.endswith("/tensors") else value for name, value in left.items()}


def differences(old, new):
    """One line for each thing of `old` that `new` lacks or has otherwise. What only `new` has is no difference."""
    for name, before in old.items():
        if name not in new:
            yield f"{name} is missing"
        elif isinstance(before, dict):
            yield from (f"{name}: {key}" for key in before if new[name].get(key) != before[key])
        elif name.endswith(".jsonl"):
            if len(before) != len(new[name]):
                yield f"{name}: {len(before)} rows and {len(new[name])}"
            for i, (a, b) in enumerate(zip(before, new[name])):
                yield from (f"{name} row {i}: {key}: {a[key]} and {b.get(key)}" for key in a if a[key] != b.get(key))
        elif before != new[name]:
            yield name


def compare(programs, path, whole):
    """(lines that differ, things compared, CPU seconds of the two)."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        job = json.loads(path.read_text())
        job = job if whole else shortened(job, scratch)
        seconds = [run(program, job, scratch / name) for program, name in zip(programs, ("old", "new"))]
        old, new = left_by(scratch / "old" / "run"), left_by(scratch / "new" / "run")
    return list(differences(old, new)), len(old), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("--jobs", default="", help="names, separated by commas; all without it")
    parser.add_argument("--whole", action="store_true", help="as they are, not cut: an hour or more")
    arguments = parser.parse_args()
    programs = [arguments.old.resolve(), arguments.new.resolve()]
    wanted = [name for name in arguments.jobs.split(",") if name]
    failed = 0
    for path in sorted((ROOT / "assets" / "jobs").glob("*.json")):
        if wanted and path.stem not in wanted:
            continue
        if subprocess.run([programs[0], "validate", path], cwd=ROOT, capture_output=True).returncode != 0:
            print(f"{path.stem:26} its model is not here, or only the new program knows it", flush=True)
            continue
        lines, compared, (old_s, new_s) = compare(programs, path, arguments.whole)
        failed += bool(lines)
        print(f"{path.stem:26} {'DIFFERS' if lines else 'the same':9} {compared:4} files   CPU {old_s:7.2f} s -> {new_s:7.2f} s"
              f" ({new_s / old_s:.3f})", flush=True)
        for line in lines[:20]:
            print("    " + line, flush=True)
    print("not one number differs" if not failed else f"{failed} jobs differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
