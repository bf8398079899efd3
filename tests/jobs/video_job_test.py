"""`sample` writes videos; `score` and `reward try` read them."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from job_errors_test import assert_refused
from parity_tool import BUILD, ROOT
from PIL import Image
from program import ENVIRONMENT, run_job, thalweg, validated, write_job
from resuming import finish, start, wait_for
from safetensors.numpy import load_file

sys.path.insert(0, str(ROOT / "tests/video"))
from thalweg_video import decode, encode, moving, psnr  # noqa: E402

SIZE = {"height": 16, "width": 16, "frames": 6}
RED = [{"plugin": "color", "config": {"channel": "red"}}]


@pytest.fixture
def clips(tmp_path):
    """A `sample` job of clips that are mostly within [0,1]: grey noise."""
    folder = tmp_path / "model"
    (folder / "mixture").mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "GaussianMixturePipeline",
                                                         "mixture": ["thalweg", "GaussianMixture"]}))
    (folder / "mixture/config.json").write_text(json.dumps({"shape": [1, 6, 16, 16], "weights": [1.0], "means": [0.5], "stds": [0.1]}))
    return {"job": "sample", "model": {"path": str(folder)}, "prompts": {"texts": ["a", "b"]}, "images_per_prompt": 4,
            "sampler": {"name": "flow_ode", "steps": 3, **SIZE}, "parallel": {"micro_batch": 3}, "checkpoint": {"every_seconds": 0}}


def videos_of(folder):
    return sorted((folder / "samples").glob("*.mp4"))


def levels(frames):
    """[F,3,H,W] in [0,1] as a video has them."""
    return np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def test_samples_of_several_frames_are_videos(clips, tmp_path):
    run = run_job(tmp_path / "run", {**clips, "save_frames": True, "video": {"fps": 23.976}})
    frames = load_file(run / "frames.safetensors")["frames"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == [f"{i:05}.mp4" for i in range(8)]
    for path, sample in zip(videos_of(run), frames, strict=True):
        video = decode(path.read_bytes())
        assert video.rate == (24000, 1001)
        assert psnr(video.frames, levels(sample)) > 33


def test_the_grid_shows_frames_of_each_clip_in_order(clips, tmp_path):
    run = run_job(tmp_path / "run", {**clips, "save_frames": True})
    frames = load_file(run / "frames.safetensors")["frames"]
    grid = np.asarray(Image.open(run / "grid.png"))
    assert grid.shape == (2 + 4 * 18, 2 + 8 * 18, 3)  # two clips a row
    for clip in range(8):
        for place, frame in enumerate([0, 1, 3, 5]):
            top, left = 2 + 18 * (clip // 2), 2 + 18 * (4 * (clip % 2) + place)
            assert np.abs(grid[top:top + 16, left:left + 16].astype(int) - levels(frames[clip])[frame]).max() <= 1


def test_a_job_chooses_what_is_written(clips, tmp_path):
    pictures = {f"{i:05}_frame{f:04}.png" for i in range(8) for f in range(6)}
    for form, names in [("frames", pictures), ("both", pictures | {f"{i:05}.mp4" for i in range(8)})]:
        run = run_job(tmp_path / form, {**clips, "video": {"format": form}})
        assert {path.name for path in (run / "samples").iterdir()} == names
    video = decode((tmp_path / "both/samples/00003.mp4").read_bytes())
    assert video.rate == (16, 1)
    assert psnr(video.frames[2], np.asarray(Image.open(tmp_path / "both/samples/00003_frame0002.png"))) > 32


def test_the_bytes_do_not_depend_on_the_workers(clips, tmp_path):
    runs = [run_job(tmp_path / f"run{i}", {**clips, "parallel": {"micro_batch": 3, "workers": i}}) for i in (1, 2)]
    first, second = ([path.read_bytes() for path in videos_of(run)] for run in runs)
    assert len(first) == 8 and first == second


def test_odd_sides_are_padded(tmp_path):
    model = tmp_path / "model"
    (model / "mixture").mkdir(parents=True)
    (model / "model_index.json").write_text(json.dumps({"_class_name": "GaussianMixturePipeline",
                                                        "mixture": ["thalweg", "GaussianMixture"]}))
    (model / "mixture/config.json").write_text(json.dumps({"shape": [1, 2, 5, 7], "weights": [1.0], "means": [0.5], "stds": [0.1]}))
    run = run_job(tmp_path / "run", {"job": "sample", "model": {"path": str(model)}, "prompts": {"texts": ["a"]},
                                     "sampler": {"name": "flow_ode", "steps": 2, "height": 5, "width": 7, "frames": 2}})
    assert decode((run / "samples/00000.mp4").read_bytes()).frames.shape == (2, 6, 8, 3)


@pytest.mark.parametrize("change, place, words", [
    ({"video": {"format": "avi"}}, "/video/format", "mp4"), ({"video": {"fps": 0}}, "/video/fps", "0.1"),
    ({"video": {"rate": 16}}, "/video/rate", "fps"),
    ({"video": {"fps": 8}, "save_images": False}, "/video", "save_images"),
    ({"video": {"format": "frames"}, "model": {"path": "assets/laboratory/line"},
      "sampler": {"height": 1, "width": 1, "frames": 1}}, "/video", "one frame")])
def test_keys_that_are_not_read_are_refused(change, place, words, clips, tmp_path):
    job = write_job(tmp_path / "job.json", {**clips, **change, "output": str(tmp_path / "run")})
    assert_refused(validated(job), place, words)


def test_a_stopped_run_goes_on_with_the_same_videos(clips, tmp_path):
    job = {**clips, "images_per_prompt": 30, "parallel": {"micro_batch": 3, "workers": 1}}
    whole = run_job(tmp_path / "whole", job)
    folder = tmp_path / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / "samples/00004.mp4").exists())
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 3, said
    assert "samples were drawn before" in finish(folder, job)
    assert [path.read_bytes() for path in videos_of(folder)] == [path.read_bytes() for path in videos_of(whole)]


def test_a_video_that_cannot_be_made_is_left_out(clips, tmp_path):
    (tmp_path / "run/samples/00001.mp4").mkdir(parents=True)
    (tmp_path / "run/samples/00001.mp4/in the way").write_text("")
    job = write_job(tmp_path / "job.json", {**clips, "output": str(tmp_path / "run")})
    done = thalweg("run", job)
    assert done.returncode == 0, done.stderr
    assert "00001.mp4 is left out" in done.stdout + done.stderr
    assert sum(path.is_file() for path in videos_of(tmp_path / "run")) == 7


@pytest.fixture
def installation(tmp_path):
    """The program with a thalweg-video of the test's own, or none."""
    place = tmp_path / "bin"
    place.mkdir()
    shutil.copy(BUILD / "thalweg", place)
    (place / "plugins").mkdir()
    shutil.copy(BUILD / "plugins/color.so", place / "plugins")

    def run(*arguments):
        return subprocess.run([place / "thalweg", *map(str, arguments)], capture_output=True, text=True, timeout=300, cwd=ROOT,
                              env=ENVIRONMENT)
    run.place = place
    return run


def stand_in(installation, script):
    program = installation.place / "thalweg-video"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def score_job(path, images, **keys):
    return write_job(path, {"job": "score", "images": str(images), "prompts": {"texts": ["a"]}, "rewards": RED,
                            "output": str(path.parent / "scored"), **keys})


def test_without_its_program_a_job_with_videos_is_refused(clips, installation, tmp_path):
    job = write_job(tmp_path / "job.json", {**clips, "output": str(tmp_path / "run")})
    assert_refused(installation("validate", job), "/video/format", "thalweg-video is not there")
    frames = write_job(tmp_path / "frames.json", {**clips, "video": {"format": "frames"}, "output": str(tmp_path / "run")})
    assert installation("run", frames).returncode == 0
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").write_bytes(encode(moving(2, 16, 16)))
    done = installation("run", score_job(tmp_path / "score.json", tmp_path / "clips"))
    assert done.returncode == 2 and "a.mp4: thalweg-video is not there" in done.stderr


@pytest.mark.parametrize("script, words", [("kill -9 $$", "died of SIGKILL"), ("exit 3", "exit code 3"), ("kill -SEGV $$", "died of SIGSEGV"),
                                           ("echo nonsense, and more of it; cat >/dev/null", "a message is too long"), ("kill -XCPU $$", "processor time")])
def test_a_program_that_fails_is_told(script, words, clips, installation, tmp_path):
    stand_in(installation, script)
    done = installation("run", write_job(tmp_path / "job.json", {**clips, "output": str(tmp_path / "run")}))
    assert done.returncode == 0 and "left out" in done.stdout + done.stderr and words in done.stdout + done.stderr, done
    assert list((tmp_path / "run/samples").iterdir()) == [] and (tmp_path / "run/grid.png").is_file()
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").write_bytes(encode(moving(2, 16, 16)))
    done = installation("run", score_job(tmp_path / "score.json", tmp_path / "clips"))
    assert done.returncode in (1, 2) and "a.mp4: " in done.stderr and words in done.stderr, done
