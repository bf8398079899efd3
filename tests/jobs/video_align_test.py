"""`align` of clips: what rewards are told of them, what the run keeps of them, and training on clips that are there."""

import json
import re
import sys

import pytest
import tiny_wan
from job_errors_test import assert_refused
from parity_tool import ROOT
from PIL import Image
from program import run_job, thalweg, validated, write_job
from resuming import short_job

sys.path.insert(0, str(ROOT / "tests/video"))
from thalweg_video import decode  # noqa: E402

FRAMES = 5
SIZE = {"height": 16, "width": 16, "frames": FRAMES}
SEEN = """
dimensions = ["fps", "frames"]
def score(frames, fps):
    return {"fps": [fps] * len(frames), "frames": [frames.shape[1]] * len(frames)}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video_align")
    tiny_wan.make_folder(folder / "model", seed=91)
    (folder / "prompts.txt").write_text("a red circle\ntwo blue squares\na big green triangle\n")
    (folder / "seen.py").write_text(SEEN)
    return folder


def job_of(files, **sections):
    return short_job(files, "flow_grpo", model={"max_sequence_length": 8}, sampler=SIZE, iterations=2, **sections)


def test_rewards_know_the_rate(files, tmp_path):
    seen = {"plugin": "python", "config": {"file": str(files / "seen.py"), "interpreter": sys.executable}, "use": "watch"}
    job = job_of(files, rewards=[{"plugin": "color"}, seen], video={"fps": 12})
    run = run_job(tmp_path / "run", job)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    held_out = [row for row in rows if row["kind"] == "eval"][-1]
    rates = {key: value for key, value in held_out.items() if key.endswith("/fps") or key.endswith("/frames")}
    assert set(rates.values()) == {12.0, float(FRAMES)}, held_out
    sample = {"job": "sample", "model": job["model"], "prompts": {"texts": ["a"]}, "sampler": {"steps": 2, **SIZE},
              "rewards": [{**seen, "use": "train"}], "video": {"fps": 30}}
    sample["model"] = {key: value for key, value in sample["model"].items() if key != "lora"}
    result = json.loads((run_job(tmp_path / "sample", sample) / "result.json").read_text())
    assert result["rewards"]["seen/fps"]["mean"] == 30.0


@pytest.mark.parametrize("form", ["mp4", "both"])
def test_a_run_keeps_its_clips(form, files, tmp_path):
    run = run_job(tmp_path / "run", job_of(files, video={"fps": 8, "format": form}))
    for name in ("step-0", "step-2", "before", "after"):
        clips = sorted((run / "samples" / name).glob("*.mp4"))
        assert [path.name for path in clips] == ["00000.mp4", "00001.mp4"]
        assert all(decode(path.read_bytes()).rate == (8, 1) for path in clips)
        assert len(list((run / "samples" / name).glob("0*.png"))) == (2 * FRAMES if form == "both" else 0)
    page = (run / "report.html").read_text()
    assert len(re.findall(r'<video src="data:video/mp4;base64,', page)) == 4 and "<h2>Clips</h2>" in page


def clips_of(files, folder):
    run_job(folder, {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 8},
                     "prompts": {"texts": ["a red circle", "two blue squares"]}, "images_per_prompt": 2,
                     "sampler": {"steps": 2, **SIZE}, "seed": 5})
    return [path.relative_to(folder).as_posix() for path in sorted((folder / "samples").glob("*.mp4"))]


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def refused(folder, job, words):
    done = thalweg("run", write_job(folder.with_suffix(".json"), {**job, "output": str(folder)}))
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_training_on_clips(files, tmp_path):
    names = clips_of(files, tmp_path / "drawn")
    pairs = write(tmp_path / "drawn/pairs.jsonl", [{"prompt": prompt, "chosen": names[2 * i], "rejected": names[2 * i + 1]}
                                                   for i, prompt in enumerate(["a red circle", "two blue squares"])])
    captions = write(tmp_path / "drawn/captions.jsonl", [{"prompt": "a", "file_name": name} for name in names])
    dpo = {"name": "flow_dpo", "data": {"name": "pairs"}, "prompts_per_iteration": 2, "updates": 1, "times_per_sample": 2}
    sft = {"name": "sft", "data": {"name": "pictures"}, "prompts_per_iteration": 2, "updates": 1, "times_per_sample": 2}
    for method, train in ((dpo, pairs), (sft, captions)):
        job = {**job_of(files, prompts={"train": train}), "method": method}
        job["sampler"] = {"steps": 4, **SIZE}
        rows = [json.loads(line) for line in (run_job(tmp_path / method["name"], job) / "metrics.jsonl").read_text().splitlines()]
        assert all(row["policy_loss"] > 0 and row["grad_norm"] > 0 for row in rows if row["kind"] == "train")
    job["sampler"]["frames"] = 9
    refused(tmp_path / "more", job, f"has {FRAMES} frames, and /sampler/frames is 9")
    Image.new("RGB", (16, 16)).save(tmp_path / "drawn/one.png")
    job["sampler"]["frames"] = FRAMES
    job["prompts"]["train"] = write(tmp_path / "drawn/one.jsonl", [{"prompt": "a", "file_name": "one.png"}] * 2)
    refused(tmp_path / "one", job, "has 1 frame,")


def test_what_is_read_by_nothing_is_refused(files, tmp_path):
    job = {**job_of(files, video={"fps": 8}), "output": str(tmp_path / "run")}
    job["sampler"].pop("frames")
    assert_refused(validated(write_job(tmp_path / "job.json", job)), "/video", "one frame")
