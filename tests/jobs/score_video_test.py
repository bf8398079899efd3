"""`score` and `reward try` of videos and folders of frames."""

import json
import subprocess
import sys

import numpy as np
import pytest
from job_errors_test import assert_refused
from parity_tool import ROOT
from PIL import Image
from program import run_job, thalweg, write_job

sys.path.insert(0, str(ROOT / "tests/video"))
from thalweg_video import encode, moving  # noqa: E402

RED = [{"plugin": "color", "config": {"channel": "red"}}]


def lines_of(folder):
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def write_frames(folder, frames):
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{i}.png")


def coloured(level, frames=3, side=16):
    """One colour, a little redder in each frame."""
    return np.stack([np.full((side, side, 3), (level + 10 * f, 90, 90), np.uint8) for f in range(frames)])


@pytest.fixture
def rate_of(tmp_path):
    """A plugin that says what frame rate it was told."""
    source = (ROOT / "plugins/template/c/brightness.c").read_text()
    old = "out[b] = (float)(sum / (double)per_sample);"
    assert old in source
    (tmp_path / "rate.c").write_text(source.replace(old, "out[b] = (float)request->fps + 0.0f * (float)sum;"))
    subprocess.run(["cc", "-std=c11", "-shared", "-fPIC", "-O2", f"-I{ROOT}/plugins/include", str(tmp_path / "rate.c"),
                    "-o", str(tmp_path / "rate.so")], check=True)
    return [{"plugin": str(tmp_path / "rate.so"), "isolation": "inproc"}]


def score(tmp_path, images, prompts, **keys):
    return run_job(tmp_path / "run", {"job": "score", "images": str(images), "prompts": {"texts": ["a"] * prompts}, "rewards": RED, **keys})


def test_a_folder_of_clips_is_scored_in_order(tmp_path):
    folder = tmp_path / "clips"
    write_frames(folder / "2", coloured(20))
    write_frames(folder / "10", coloured(100))
    (folder / "1.mp4").write_bytes(encode(coloured(10)))
    Image.fromarray(coloured(150)[0]).save(folder / "11.gif", save_all=True, duration=60,
                                          append_images=[Image.fromarray(frame) for frame in coloured(150)[1:]])
    (folder / "notes.txt").write_text("no clip")
    (folder / "empty").mkdir()
    lines = lines_of(score(tmp_path, folder, 4, batch_size=3))
    assert [line["file_name"] for line in lines] == ["1.mp4", "2", "10", "11.gif"]
    # The mean over frames of red less the mean of the others, as the plugin has it for pictures: exact from PNG.
    (tmp_path / "flat").mkdir()
    for i, level in enumerate((10, 20, 100, 150)):
        Image.fromarray(coloured(level)[1]).save(tmp_path / "flat" / f"{i}.png")
    expected = [line["reward"] for line in lines_of(run_job(tmp_path / "pictures", {
        "job": "score", "images": str(tmp_path / "flat"), "prompts": {"texts": ["a"] * 4}, "rewards": RED}))]
    assert [line["reward"] for line in lines] == pytest.approx(expected, abs=0.02)
    assert [lines[i]["reward"] for i in (1, 2)] == pytest.approx([expected[i] for i in (1, 2)], abs=1e-6)


def test_a_manifest_names_clips(tmp_path):
    (tmp_path / "a.mp4").write_bytes(encode(coloured(60)))
    write_frames(tmp_path / "b", coloured(60))
    rows = [{"file_name": "b", "prompt": "frames"}, {"file_name": "a.mp4", "prompt": "video"}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = lines_of(run_job(tmp_path / "run", {"job": "score", "manifest": str(tmp_path / "list.jsonl"), "rewards": RED}))
    assert [line["prompt"] for line in lines] == ["frames", "video"]
    assert lines[0]["reward"] == pytest.approx(lines[1]["reward"], abs=0.02)


def test_rewards_are_told_the_rate(rate_of, tmp_path):
    (tmp_path / "clips").mkdir()
    rates = [(16, 1), (16, 1), (30000, 1001), (8, 1)]
    for i, rate in enumerate(rates):
        (tmp_path / f"clips/{i}.mp4").write_bytes(encode(moving(3, 16, 16), rate))
    lines = lines_of(score(tmp_path, tmp_path / "clips", 4, rewards=rate_of))
    assert [line["reward"] for line in lines] == pytest.approx([a / b for a, b in rates], rel=1e-6)


def test_what_sample_writes_is_scored(tmp_path):
    model = {"job": "sample", "model": {"path": "assets/laboratory/video"}, "prompts": {"texts": ["a"] * 3},
             "sampler": {"name": "flow_ode", "steps": 4, "height": 2, "width": 2, "frames": 4}}
    run = run_job(tmp_path / "sampled", model)
    assert len(lines_of(score(tmp_path, run / "samples", 3))) == 3


@pytest.mark.parametrize("make, place, words", [
    (lambda d: ((d / "a.mp4").write_bytes(encode(moving(2, 16, 16))), Image.new("RGB", (16, 16)).save(d / "b.png")), "/images",
     "holds pictures (b.png) and videos (a.mp4)"),
    (lambda d: [(d / f"{n}.mp4").write_bytes(encode(moving(n, 16, 16))) for n in (2, 3)], "", "3.mp4: has 3 frames"),
    (lambda d: [(d / f"{n}.mp4").write_bytes(encode(moving(2, n, 16))) for n in (16, 18)], "", "18.mp4: is 16 x 18"),
    (lambda d: (d / "a.mp4").write_bytes(b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n"), "", "a.mp4: is no MP4"),
    (lambda d: (d / "a.webm").write_bytes(b""), "", "a.webm: is empty"),
    (lambda d: (d / "a.mp4").write_bytes(encode(moving(12, 32, 32))[:-300]), "", "a.mp4: is cut short"),
    (lambda d: (d / "a.avi").write_bytes(b"RIFF"), "/images", "nor a video that is read"),
    (lambda d: None, "/images", "no video or folder of PNG frames")])
def test_clips_that_cannot_be_scored_are_named(make, place, words, tmp_path):
    (tmp_path / "clips").mkdir()
    make(tmp_path / "clips")
    job = write_job(tmp_path / "job.json", {"job": "score", "images": str(tmp_path / "clips"), "rewards": RED, "output": str(tmp_path / "run"),
                                            "prompts": {"texts": ["a"] * max(1, len(list((tmp_path / "clips").iterdir())))}})
    assert_refused(thalweg("run", job), place or str(tmp_path / "clips"), words)


def test_a_rate_that_varies_is_told(tmp_path):
    (tmp_path / "clips").mkdir()
    frames = [Image.fromarray(frame) for frame in coloured(50, 4)]
    frames[0].save(tmp_path / "clips/a.gif", save_all=True, duration=[40, 200, 40, 40], append_images=frames[1:])
    job = write_job(tmp_path / "job.json", {"job": "score", "images": str(tmp_path / "clips"), "rewards": RED,
                                            "prompts": {"texts": ["a"]}, "output": str(tmp_path / "run")})
    done = thalweg("run", job)
    assert done.returncode == 0 and "a.gif: its frame rate varies" in done.stdout + done.stderr


def test_reward_try_takes_videos(tmp_path):
    (tmp_path / "a.mp4").write_bytes(encode(coloured(200)))
    write_frames(tmp_path / "frames", coloured(200))
    Image.fromarray(coloured(200)[1]).save(tmp_path / "b.png")
    (tmp_path / "reward.json").write_text(json.dumps(RED[0]))
    done = thalweg("reward", "try", tmp_path / "reward.json", tmp_path / "a.mp4", tmp_path / "b.png", "--json")
    assert done.returncode == 0, done.stderr
    values = [list(each["values"].values())[0] for each in json.loads(done.stdout)["pictures"]]
    assert values[0] == pytest.approx(values[1], abs=0.02)
