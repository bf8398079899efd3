"""Real sizes through whole jobs, on mixtures, whose codec is the identity: 1024 x 1024, 81 frames of 480 x 832, 1,000
pictures, 100,000 prompts."""

import json
import struct

import pytest
from program import run_job, thalweg, write_job

RED = [{"plugin": "color", "config": {"channel": "red"}}]
BIG = {"height": 1024, "width": 1024}
SMALL = {"height": 64, "width": 64}
VIDEO = {"height": 480, "width": 832, "frames": 81}
DOT = {"height": 1, "width": 1}
MAX_SHEET_SIDE = 4096


@pytest.fixture
def folder(tmp_path):
    """A mixture of each size, nearly constant pictures (which PNG packs fast), and prompt files by their length."""
    for size in (BIG, SMALL, VIDEO, DOT):
        model = tmp_path / "model-{height}x{width}".format(**size)
        (model / "mixture").mkdir(parents=True)
        (model / "model_index.json").write_text(json.dumps(
            {"_class_name": "GaussianMixturePipeline", "mixture": ["thalweg", "GaussianMixture"]}))
        (model / "mixture" / "config.json").write_text(json.dumps(
            {"shape": [1, size.get("frames", 1), size["height"], size["width"]],
             "weights": [1.0], "means": [0.25], "stds": [0.002]}))
    for count in (1, 16, 1000, 100_000):
        (tmp_path / f"{count}.txt").write_text("".join(f"picture {i}\n" for i in range(count)))
    return tmp_path


def job_of(kind, folder, sides, micro_batch, **keys):
    model = folder / "model-{height}x{width}".format(**sides)
    return {"job": kind, "model": {"path": str(model)}, "rewards": RED, "parallel": {"micro_batch": micro_batch}, **keys}


def sample_job(folder, size, micro_batch, **keys):
    return job_of("sample", folder, size, micro_batch, sampler={"name": "flow_ode", "steps": 1, **size}, **keys)


def evaluate_job(folder, size, micro_batch, prompts, **keys):
    return job_of("evaluate", folder, size, micro_batch, prompts={"path": str(folder / f"{prompts}.txt")}, size=size,
                  steps=1, **keys)


def align_job(folder, size, micro_batch, train, held_out, **keys):
    held = str(folder / f"{held_out}.txt")
    return job_of("align", folder, size, micro_batch, sampler={"name": "flow_ode", "steps": 1, **size},
                  prompts={"train": str(folder / f"{train}.txt"), "select": held, "eval": held},
                  method={"name": "diffusion_nft", "prompts_per_iteration": 2, "group_size": 2, "times_per_sample": 1},
                  optimizer={"learning_rate": 0.01}, iterations=1, evaluate={"every": 1, "steps": 1}, **keys)


def png_size(path):
    return struct.unpack(">II", path.read_bytes()[16:24])


def result_of(folder):
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "succeeded"
    return result


def test_sixteen_pictures_of_1024_are_sampled(folder):
    job = sample_job(folder, BIG, 1, prompts={"texts": ["a"]}, images_per_prompt=16)
    done = thalweg("run", write_job(folder / "job.json", {**job, "output": str(folder / "run")}))
    assert done.returncode == 0, done.stderr
    assert "grid.png: at 1/3 of their size" in done.stdout
    assert result_of(folder / "run")["samples"] == 16
    assert png_size(folder / "run" / "grid.png") == (8 * 344 + 2, 2 * 344 + 2)
    assert {png_size(path) for path in (folder / "run" / "samples").iterdir()} == {(1024, 1024)}


def test_sixteen_pictures_of_1024_are_evaluated(folder):
    run = run_job(folder / "run", evaluate_job(folder, BIG, 1, 16))
    assert len(result_of(run)["evaluations"]) == 1
    assert max(png_size(run / "grid-0.png")) <= MAX_SHEET_SIDE


def test_a_model_of_1024_is_aligned_and_reported(folder):
    run = run_job(folder / "run", align_job(folder, BIG, 1, 16, 16))
    result_of(run)
    for name in ("step-0", "step-1", "before", "after"):
        assert max(png_size(run / "samples" / name / "grid.png")) <= MAX_SHEET_SIDE
        assert len(list((run / "samples" / name).iterdir())) == 18  # 16 pictures, their sheet, their prompts
    report = (run / "report.html").read_text()
    assert "Shown at 1/2 of their size" in report and 'width="512" height="512"' in report


def test_a_video_of_81_frames_is_sampled(folder):
    """Its sheet has four of the frames; the clip is a file of video, and of pictures where they are asked for."""
    run = run_job(folder / "run", sample_job(folder, VIDEO, 1, prompts={"texts": ["a"]}, video={"format": "both"}))
    result_of(run)
    assert png_size(run / "grid.png") == (4 * 834 + 2, 484)
    pictures = list((run / "samples").rglob("*.png"))
    assert len(pictures) == 81 and {png_size(path) for path in pictures} == {(832, 480)}
    assert [path.name for path in (run / "samples").rglob("*.mp4")] == ["00000.mp4"]


def test_a_video_of_81_frames_is_evaluated(folder):
    run = run_job(folder / "run", evaluate_job(folder, VIDEO, 1, 1))
    assert result_of(run)["samples"] == 1
    assert png_size(run / "grid-0.png") == (4 * 834 + 2, 484)


@pytest.mark.soak
def test_a_model_of_videos_of_81_frames_is_aligned_and_reported(folder):
    """Its clips are kept whole, and shown at half of their size."""
    (folder / "2.txt").write_text("a\nb\n")
    run = run_job(folder / "run", align_job(folder, VIDEO, 1, 2, 2, video={"fps": 16}))
    result_of(run)
    for name in ("step-0", "step-1", "before", "after"):
        assert sorted(path.name for path in (run / "samples" / name).iterdir()) == ["00000.mp4", "00001.mp4", "grid.png", "metadata.jsonl"]
    report = (run / "report.html").read_text()
    assert "Shown at 1/2 of their size" in report and report.count("<video") == 4 and 'width="416" height="240"' in report


def test_a_thousand_pictures_are_sampled_and_scored(folder):
    job = sample_job(folder, SMALL, 100, prompts={"path": str(folder / "1000.txt")})
    run = run_job(folder / "run", job)
    assert result_of(run)["samples"] == 1000
    scored = run_job(folder / "scored", {"job": "score", "images": str(run / "samples"), "rewards": RED,
                                         "prompts": {"path": str(folder / "1000.txt")}, "batch_size": 100})
    assert result_of(scored)["rewards"]["color/redness"]["scored"] == 1000


def test_a_thousand_pictures_are_evaluated(folder):
    run = run_job(folder / "run", evaluate_job(folder, SMALL, 100, 1000, pictures=1000))
    assert max(png_size(run / "grid-0.png")) <= MAX_SHEET_SIDE


def test_a_hundred_thousand_prompts_go_through_every_job(folder):
    prompts = {"path": str(folder / "100000.txt")}
    sampled = run_job(folder / "sampled", sample_job(folder, DOT, 1000, prompts=prompts, save_images=False,
                                                     save_frames=True))
    assert result_of(sampled)["samples"] == 100_000
    assert sum(1 for _ in open(sampled / "scores.jsonl")) == 100_000
    scored = run_job(folder / "scored", {"job": "score", "frames": str(sampled / "frames.safetensors"), "rewards": RED,
                                         "prompts": prompts, "batch_size": 1000})
    assert result_of(scored)["rewards"] == result_of(sampled)["rewards"]
    assert result_of(run_job(folder / "evaluated", evaluate_job(folder, DOT, 1000, 100_000)))["samples"] == 100_000
    result_of(run_job(folder / "aligned", align_job(folder, DOT, 100, 100_000, 16)))
