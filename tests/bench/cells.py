"""The cells of the benchmarks' tables: one job each, not run again while program, plugins, learned rewards, model, prompts and job are
the same."""

import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("THALWEG_PROGRAM", ROOT / "build/release/thalweg")).resolve()


def shipped(name):
    """A job of assets/jobs."""
    return json.loads((ROOT / f"assets/jobs/{name}.json").read_text())


def changed(job, changes):
    """Objects are merged key by key, anything else replaced; of a named choice ({"name": ...}) nothing is kept."""
    for key, value in changes.items():
        merge = isinstance(value, dict) and isinstance(job.get(key), dict) and "name" not in value
        job[key] = changed(dict(job[key]), value) if merge else value
    return job


@functools.lru_cache(None)
def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def learned_by(reward):
    """The files of a process reward."""
    return sorted((ROOT / reward["config"]["path"]).glob("*")) if reward["plugin"] == "latent_prm" else []


def inputs_of(wanted):
    """{what: sha256} of the files on which a cell's numbers depend beside its job."""
    folders = (PROGRAM.parent / "plugins", PROGRAM.parent.parent / "lib/thalweg/plugins")
    plugins = [next(path for folder in folders if (path := folder / f"{reward['plugin']}.so").exists())
               for reward in wanted["rewards"]]
    model = sorted(path for path in (ROOT / wanted["model"]["path"]).rglob("*") if path.is_file())
    prompts = [ROOT / wanted["prompts"][key] for key in ("path", "train", "select", "eval") if key in wanted["prompts"]]
    lora = wanted["model"].get("lora", {})
    learned = [path for reward in wanted["rewards"] for path in learned_by(reward)]
    files = [PROGRAM, *plugins, *learned, *prompts, *model, *([ROOT / lora["path"]] if "path" in lora else [])]
    return {str(path.relative_to(ROOT) if ROOT in path.parents else path.name): sha256(path) for path in files}


def finished(wanted, folder, go_on=False):
    """Runs the job in the folder that it names unless its result is there, of the same job, program and inputs. With
    `go_on`, a run of these that was stopped goes on; without, it begins anew, so that its times are those of all of it."""
    key = {"job": wanted, "inputs": inputs_of(wanted)}
    kept, result = folder / "bench_key.json", folder / "result.json"
    same = kept.exists() and json.loads(kept.read_text()) == key
    done = same and result.exists() and json.loads(result.read_text()).get("status") == "succeeded"
    if not done:
        if not (same and go_on):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        kept.write_text(json.dumps(key))
        (folder / "bench_job.json").write_text(json.dumps(wanted))
        print("/".join(folder.parts[-3:]), flush=True)
        subprocess.run([PROGRAM, "run", folder / "bench_job.json"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                       env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads(result.read_text())


def lines_of(path):
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def cost(rows):
    """CPU seconds of all iterations."""
    return sum(row["time_phases"]["iteration"]["cpu_s"] for row in rows if row["kind"] == "train")


def write(tables, path):
    """Replaces what stands between `<!-- NAME -->` and `<!-- end NAME -->` in a page."""
    text = path.read_text()
    for name, content in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        head, rest = text.split(begin)
        text = head + begin + content + "\n" + end + rest.split(end, 1)[1]
    path.write_text(text)
