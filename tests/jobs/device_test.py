"""`--device` and the key /device: what is pinned, and what is said where there is no GPU."""

import json

import pytest
from base_jobs import base_jobs
from program import thalweg, write_job


def validated(tmp_path, kind, *arguments, **keys):
    path = write_job(tmp_path / "job.json", {**base_jobs(tmp_path)[kind], **keys})
    return thalweg("validate", path, *arguments)


@pytest.mark.parametrize("kind", ["sample", "score", "evaluate", "align"])
def test_cuda_needs_a_build_and_a_gpu(tmp_path, kind):
    done = validated(tmp_path, kind, "--device", "cuda")
    if done.returncode == 0:
        pytest.skip("there is a GPU")
    assert done.returncode == 2
    assert done.stderr.startswith("thalweg: /device: ")
    assert "cmake --preset cuda" in done.stderr or "nvidia-smi" in done.stderr


def test_key_and_flag_say_the_same(tmp_path):
    by_key = validated(tmp_path, "sample", device="cuda")
    (tmp_path / "again").mkdir()
    by_flag = validated(tmp_path / "again", "sample", "--device", "cuda")
    assert (by_key.returncode, by_key.stderr) == (by_flag.returncode, by_flag.stderr)


def test_flag_replaces_the_key(tmp_path):
    done = validated(tmp_path, "align", "--device", "cpu", device="cuda")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["sample", "score", "evaluate", "align", "train_reward", "pretrain"])
def test_cpu_suits_every_kind(tmp_path, kind):
    done = validated(tmp_path, kind, "--device", "cpu")
    assert done.returncode == 0, done.stderr


def test_other_names_are_refused(tmp_path):
    done = validated(tmp_path, "sample", "--device", "cud")
    assert done.returncode == 2
    assert "/device" in done.stderr and 'did you mean "cuda"?' in done.stderr


def test_pretraining_has_no_gpu(tmp_path):
    done = validated(tmp_path, "pretrain", "--device", "cuda")
    assert done.returncode == 2
    assert "/device: unknown key" in done.stderr
