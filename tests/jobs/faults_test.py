"""A disk that fills or fails under the program: an error that names the file, exit code 1, and a run that goes on."""

import errno
import json
import os
import subprocess

import pytest
from parity_tool import BUILD
from resuming import differences, finish, make_files, results, short_job, start

SHIM = next(BUILD.glob("tests/**/libfaults.so"), None)
EVER = 10**9


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def whole(files):
    folder = files / "whole" / "run"
    finish(folder, short_job(files, "diffusion_nft", iterations=2, evaluate={"every": 1}))
    return results(folder)


def broken_run(folder, job, fault):
    """What the program said while calls failed as `fault` says (tests/io/faults.h)."""
    assert SHIM is not None, "libfaults.so is not built"
    calls, nth, count, code, path = fault
    process = start(folder, job, LD_PRELOAD=str(SHIM), THALWEG_FAULTS=f"{calls}:{nth}:{count}:{code}:{path}")
    said, _ = process.communicate(timeout=120)
    assert "[fault]" in said, said
    return process.returncode, "".join(line for line in said.splitlines(True) if not line.startswith("[fault]"))


# Which file, and which write to it is the first that finds the disk full.
@pytest.mark.parametrize("name,nth", [
    ("job.json", 1), ("metrics.jsonl", 2), ("events.out.tfevents", 5), ("samples/step-1/00001.png", 1),
    (".checkpoint-1.tmp/policy.safetensors", 2), (".checkpoint-2.tmp/manifest.json", 1),
    ("pytorch_lora_weights.safetensors", 2), ("result.json", 1)])
def test_full_disk_is_named_and_survived(name, nth, files, whole, tmp_path):
    job, folder = short_job(files, "diffusion_nft", iterations=2, evaluate={"every": 1}), tmp_path / "run"
    code, said = broken_run(folder, job, ("write", nth, EVER, errno.ENOSPC, str(folder / name)))
    assert code == 1, said
    assert str(folder / name) in said and "the disk is full; free some space and run the job again" in said
    finish(folder, job)
    assert differences(whole, results(folder)) == []


# What only shows the run: it is left out with a line that says so, and is there once the disk has room.
@pytest.mark.parametrize("name", ["report.html", "samples/after/grid.png"])
def test_full_disk_at_a_decoration_ends_nothing(name, files, whole, tmp_path):
    job, folder = short_job(files, "diffusion_nft", iterations=2, evaluate={"every": 1}), tmp_path / "run"
    code, said = broken_run(folder, job, ("write", 1, EVER, errno.ENOSPC, str(folder / name)))
    assert code == 0, said
    assert f"warn: {name} is left out: " in said and "the disk is full" in said and not (folder / name).exists()
    assert json.loads((folder / "result.json").read_text())["status"] == "succeeded"
    (folder / "result.json").unlink()
    finish(folder, job)
    assert differences(whole, results(folder)) == []


@pytest.mark.parametrize("calls,code,words", [("fsync", errno.EIO, "cannot be synced to disk: Input/output error"),
                                              ("rename", errno.EACCES, "permission denied"),
                                              ("close", errno.EDQUOT, "the disk quota is used up")])
def test_failing_disk_is_named_and_survived(calls, code, words, files, whole, tmp_path):
    job, folder = short_job(files, "diffusion_nft", iterations=2, evaluate={"every": 1}), tmp_path / "run"
    found, said = broken_run(folder, job, (calls, 1, 1, code, str(folder / ".checkpoint-2.tmp/policy.optimizer")))
    assert (found, words in said, str(folder) in said) == (1, True, True), said
    assert json.loads((folder / "result.json").read_text())["status"] == "failed"
    assert "resuming at iteration 1" in finish(folder, job)
    assert differences(whole, results(folder)) == []


def test_full_disk_itself(files, tmp_path):
    """A tmpfs of 1 MiB holds the first checkpoints of this run, and not all of it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a file system can be mounted by root alone")
    try:
        job = short_job(files, "diffusion_nft", checkpoint={"keep": 3})
        finish(tmp_path / "whole" / "run", job)
        folder = disk / "run"
        filler = disk / "filler"
        size = sum(path.stat().st_size for path in (tmp_path / "whole" / "run").rglob("*") if path.is_file())
        filler.write_bytes(b"\0" * max(0, (1 << 20) - size * 2 // 3))
        process = start(folder, job)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 1 and "the disk is full" in said and str(folder) in said, said
        filler.unlink()
        subprocess.run([*mount[:4], "remount,size=16M", "tmpfs", str(disk)], check=True)
        finish(folder, job)
        assert differences(results(tmp_path / "whole" / "run"), results(folder)) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
