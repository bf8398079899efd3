"""Hostile jobs, prompts and model folders: each refused by name, quickly, in one process."""

import collections
import json
import os

import job_cases
import mixture_cases
import model_cases
import pytest
from base_jobs import base_jobs, changed
from hostile_tool import SANITIZED, assert_fit_to_show, outcomes
from program import thalweg


def check_all(folder, rows, places):
    """Runs `hostile job` over cases of job_cases; returns (case, what was said)."""
    paths = []
    for i, row in enumerate(rows):
        paths.append(folder / f"case-{i:05}.json")
        paths[-1].write_bytes(row[1])
    results = list(zip(rows, outcomes("job", paths, timeout=600)))
    for path in paths:
        path.unlink()
    for (name, _, place, words), said in results:
        assert said["message"] is not None, f"{name} was taken for a job"
        assert_fit_to_show(said)
        places(name, place, said)
        assert words in f"{said['place']}: {said['message']}", (name, said)
        assert said["seconds"] < (20 if SANITIZED else 5), (name, said)
    return results


def at_pointer(name, place, said):
    """The place is the pointer, or below it; a file's name where no pointer is given."""
    if place is None:
        assert said["place"] == said["path"] or said["place"].startswith("/"), (name, said)
    else:
        assert (said["place"] + "/").startswith(place), (name, place, said)


@pytest.fixture
def jobs(tmp_path):
    jobs = base_jobs(tmp_path)
    jobs["sample"]["steering"] = [{"name": "best_of_n", "particles": 2}]
    return jobs


def test_the_base_jobs_are_taken(jobs, tmp_path):
    paths = []
    for kind, job in jobs.items():
        paths.append(tmp_path / f"{kind}.json")
        paths[-1].write_text(json.dumps(job))
    assert [said["message"] for said in outcomes("job", paths)] == [None] * len(paths)


def test_every_key_of_every_kind(jobs, tmp_path):
    results = check_all(tmp_path, list(job_cases.of_the_keys(jobs)), at_pointer)
    assert len(results) >= 1500
    said = collections.Counter(said["place"] + said["message"] for _, said in results)
    assert len(said) >= 1000


def test_what_is_no_job_at_all(jobs, tmp_path):
    results = check_all(tmp_path, list(job_cases.of_the_text(jobs["sample"])), at_pointer)
    assert len(results) >= 130


def test_large_ones_end_soon(jobs, tmp_path):
    for (name, data, _, _), said in check_all(tmp_path, list(job_cases.of_the_masses(jobs["sample"])), at_pointer):
        if not SANITIZED:
            assert said["peak_mib"] < 400, (name, len(data), said)


def test_what_makes_no_sense(jobs, tmp_path):
    assert len(check_all(tmp_path, list(job_cases.of_the_sense(jobs)), at_pointer)) >= 100


def test_shipped_jobs_with_a_key_misspelt(tmp_path):
    check_all(tmp_path, list(job_cases.of_the_shipped()), at_pointer)


PROMPTS = {
    "empty.txt": (b"", "holds no prompt"), "lines.txt": (b"\n\r\n\n", "holds no prompt"), "latin.txt": (b"a caf\xe9\n", "line 1: is not valid UTF-8"),
    "binary.txt": (bytes(range(256)), "line 1: "), "nul.txt": (b"a\0b\n", "line 1: holds a NUL byte"),
    "utf16.txt": ("a red circle".encode("utf-16"), "is not valid UTF-8"), "utf16le.txt": ("a red".encode("utf-16-le"), "holds a NUL byte"),
    "mark.txt": (b"\xef\xbb\xbfa red circle\n", "byte order mark"), "large.txt": (b"a\n" * (33 << 20), "is larger than"),
    "many.txt": (b"a\n" * 1_000_001, "more than 1000000 prompts"), "number.jsonl": (b"7\n", 'a text "prompt"'),
    "list.jsonl": (b'["a"]\n', 'a text "prompt"'), "other.jsonl": (b'{"text": "a"}\n', 'a text "prompt"'),
    "null.jsonl": (b'{"prompt": null}\n', 'a text "prompt"'), "cut.jsonl": (b'{"prompt": "a"}\n{"prompt"\n', "line 2: not valid JSON"),
    "deep.jsonl": (b'{"prompt": "a", "x": ' + b"[" * 100_000, "line 1: nested deeper"), "twice.jsonl": (b'{"prompt": "a", "prompt": "b"}', "given twice"),
    "surrogate.jsonl": (b'{"prompt": "\\ud800"}', "not valid JSON"), "nul.jsonl": (b'{"prompt": "a\\u0000b"}', "holds a NUL"),
    "png.txt": (b"\x89PNG\r\n\x1a\n", "is not valid UTF-8"), "latin.jsonl": (b'{"prompt": "caf\xe9"}', "is not valid UTF-8"),
}
NOT_FILES = {"folder": os.mkdir, "fifo": os.mkfifo, "loop": lambda path: path.symlink_to(path.name),
             "device": lambda path: path.symlink_to("/dev/zero"), "dangling": lambda path: path.symlink_to("nowhere")}


def test_prompt_files(jobs, tmp_path):
    rows = []
    for name, (data, words) in PROMPTS.items():
        (tmp_path / name).write_bytes(data)
        rows.append((name, tmp_path / name, words))
    for name, make in NOT_FILES.items():
        make(tmp_path / f"{name}.txt")
        rows.append((name, tmp_path / f"{name}.txt", ""))
    cases = []
    for kind, pointer in [("sample", "/prompts"), ("score", "/prompts"), ("evaluate", "/prompts"), ("align", "/prompts/train"),
                          ("align", "/prompts/select"), ("align", "/prompts/eval")]:
        for name, path, words in rows:
            if name == "large.txt" and kind != "sample":
                continue
            value = {"path": str(path)} if pointer == "/prompts" else str(path)
            cases.append((f"{kind} {pointer} {name}", json.dumps(changed(jobs[kind], pointer, value)).encode(), None, words))
    check_all(tmp_path, cases, lambda *_: None)


@pytest.mark.parametrize("family,least", [(model_cases, 150), (mixture_cases, 300)], ids=["sd3", "mixture"])
def test_model_folders(family, least, tmp_path):
    rows = list(family.cases())
    assert len(rows) >= least
    paths = []
    for i, (_, spoil, _, _) in enumerate(rows):
        paths.append(family.copy_of(tmp_path / f"{i:03}"))
        spoil(paths[-1])
    good = family.copy_of(tmp_path / "good")
    results = outcomes("model", [*paths, good], timeout=600)
    assert results[-1]["message"] is None, results[-1]
    for (name, _, where, words), folder, said in zip(rows, paths, results):
        assert said["message"] is not None, f"{name} was loaded"
        assert_fit_to_show(said)
        assert said["place"].startswith(str(folder / where)), (name, said)
        assert words in f"{said['place']}: {said['message']}", (name, said)
        assert said["seconds"] < 20, (name, said)


def test_mixtures_at_the_edges_are_read(tmp_path):
    folders = []
    for i, changes in enumerate(mixture_cases.READ):
        folders.append(mixture_cases.copy_of(tmp_path / f"{i}"))
        model_cases.edit(folders[-1] / mixture_cases.CONFIG, **changes)
    for changes, said in zip(mixture_cases.READ, outcomes("model", folders)):
        assert said["message"] is None, (str(changes)[:80], said)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_program_names_what_is_no_mixture(command, jobs, tmp_path):
    folder = mixture_cases.copy_of(tmp_path / "mixture")
    model_cases.edit(folder / mixture_cases.CONFIG, stds=[0.5, 0])
    job = changed(jobs["sample"], "/model", {"path": str(folder)})
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = thalweg(command, tmp_path / "job.json", timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f'thalweg: {folder / mixture_cases.CONFIG}: "stds[1]" must be a number from'), done.stderr


# The program itself, where a mistake would be a hang or a crash.
@pytest.mark.parametrize("name", ["fifo", "folder", "device", "loop"])
@pytest.mark.parametrize("pointer", ["/prompts", "/model/lora/path", "/latents"])
def test_the_program_does_not_wait(pointer, name, jobs, tmp_path):
    NOT_FILES[name](tmp_path / "special")
    special = str(tmp_path / "special")
    job = changed(jobs["sample"], "/model", {"path": str(model_cases.MODEL)})
    job = changed(job, pointer, {"path": special} if pointer == "/prompts" else special)
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = thalweg("run", tmp_path / "job.json", timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("make", ["fifo", "device", "loop", "folder"])
def test_the_job_file_itself(make, tmp_path):
    NOT_FILES[make](tmp_path / "job.json")
    done = thalweg("validate", tmp_path / "job.json", timeout=60)
    assert done.returncode == 2 and done.stderr.startswith(f"thalweg: {tmp_path / 'job.json'}: "), done.stderr
