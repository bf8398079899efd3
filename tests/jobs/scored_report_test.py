"""report.html of `sample`, `score` and `evaluate`: the figures of result.json, and what was drawn or scored."""

import base64
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from parity_tool import BUILD
from PIL import Image
from program import run_job, thalweg, write_job

MODEL = {"path": "assets/models/tiny-sd3", "max_sequence_length": 1}
SCENE = [{"plugin": "scene", "dimensions": {"soft": 0.5, "strict": 0.5}}]
PROMPTS = ["a red circle", "<b>two</b> & \"blue\" squares", "a green triangle"]
SAMPLER = {"name": "flow_ode", "steps": 2, "height": 64, "width": 64}


def page_of(folder):
    return (folder / "report.html").read_text()


def data_of(folder):
    return json.loads(re.search(r'id="report-data">(.*?)</script>', page_of(folder), re.DOTALL).group(1))


def pictures_of(folder):
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
            for text in re.findall(r'src="data:image/png;base64,([^"]*)"', page_of(folder))]


def sample_job(**changes):
    return {"job": "sample", "model": MODEL, "prompts": {"texts": PROMPTS}, "sampler": SAMPLER, "rewards": SCENE,
            "parallel": {"workers": 1}, **changes}


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def test_samples_are_shown_as_they_were_drawn_with_their_scores(tmp_path):
    folder = run_job(tmp_path / "run", sample_job(images_per_prompt=2))
    drawn = [np.asarray(Image.open(p)) for p in sorted((folder / "samples").glob("*.png"))]
    shown = pictures_of(folder)
    assert len(drawn) == 6 and len(shown) == 6 and all(np.array_equal(a, b) for a, b in zip(drawn, shown))
    lines = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    (grid,) = data_of(folder)["grids"]
    assert [p["prompt"] for p in grid["pictures"]] == [line["prompt"] for line in lines]
    assert [p["after_score"] for p in grid["pictures"]] == [line["reward"] for line in lines]
    assert "<b>two</b>" not in page_of(folder).split("report-data")[0] and str(tmp_path) not in page_of(folder)
    (table,) = [t for t in data_of(folder)["tables"] if t["title"] == "Rewards"]
    assert [row[0] for row in table["rows"]] == list(result_of(folder)["rewards"]) and data_of(folder)["status"] == "succeeded"


def test_a_job_without_rewards_or_pictures_has_one_too(tmp_path):
    plain = run_job(tmp_path / "plain", sample_job(rewards=[]))
    assert len(pictures_of(plain)) == 3 and not data_of(plain)["tables"]
    bare = run_job(tmp_path / "bare", sample_job(save_images=False))
    assert not pictures_of(bare) and data_of(bare)["tables"]


def test_only_the_first_are_shown(tmp_path):
    folder = run_job(tmp_path / "run", sample_job(images_per_prompt=30, rewards=[]))
    assert len(list((folder / "samples").glob("*.png"))) == 90 and len(pictures_of(folder)) == 64
    assert "the first 64 of 90" in page_of(folder)


def test_evaluations_by_guidance_scale(tmp_path):
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
    job = {"job": "evaluate", "model": MODEL, "prompts": {"path": str(tmp_path / "prompts.txt")}, "size": {"height": 64, "width": 64}, "steps": 2,
           "guidance": [{"guidance_scale": 1.0}, {"guidance_scale": 3.0}], "rewards": SCENE, "parallel": {"workers": 1}}
    folder = run_job(tmp_path / "run", job)
    data, rows = data_of(folder), result_of(folder)["evaluations"]
    assert [g["title"] for g in data["grids"]] == ["Guidance scale 1.0", "Guidance scale 3.0"] and len(pictures_of(folder)) == 6
    (chart,) = data["charts"]
    soft = next(s for s in chart["series"] if s["name"] == "scene/soft")
    assert soft["points"] == [[row["guidance_scale"], row["scene/soft"]] for row in rows]


def test_what_was_scored(tmp_path):
    drawn = run_job(tmp_path / "drawn", sample_job(rewards=[]))
    folder = run_job(tmp_path / "run", {"job": "score", "images": str(drawn / "samples"), "prompts": {"texts": PROMPTS}, "rewards": SCENE})
    assert all(np.array_equal(a, b) for a, b in zip(pictures_of(drawn), pictures_of(folder), strict=True))
    assert [p["prompt"] for p in data_of(folder)["grids"][0]["pictures"]] == PROMPTS


def test_one_that_came_to_nothing_says_why(tmp_path):
    reward = [{"plugin": str(BUILD / "tests/plugins/error_always.so"), "isolation": "inproc"}]
    done = thalweg("run", write_job(tmp_path / "job.json", {**sample_job(rewards=reward), "output": str(tmp_path / "run")}))
    assert done.returncode == 2
    assert data_of(tmp_path / "run")["status"] == "failed"
    assert any(t["title"] == "Rewards that failed" and t["rows"] for t in data_of(tmp_path / "run")["tables"])


def clips_job(tmp_path):
    folder = tmp_path / "model"
    (folder / "mixture").mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "GaussianMixturePipeline", "mixture": ["thalweg", "GaussianMixture"]}))
    (folder / "mixture/config.json").write_text(json.dumps({"shape": [1, 6, 16, 16], "weights": [1.0], "means": [0.5], "stds": [0.1]}))
    return {"job": "sample", "model": {"path": str(folder)}, "prompts": {"texts": ["a", "b"]}, "sampler": {"name": "flow_ode", "steps": 3, "height": 16, "width": 16, "frames": 6}}


@pytest.mark.parametrize("form", ["mp4", "frames"])
def test_clips_play(tmp_path, form):
    folder = run_job(tmp_path / "run", {**clips_job(tmp_path), "video": {"format": form}})
    assert len(re.findall(r'<video src="data:video/mp4;base64,', page_of(folder))) == 2
    scored = run_job(tmp_path / "scored", {"job": "score", "images": str(folder / "samples"), "prompts": {"texts": ["a", "b"]},
                                           "rewards": [{"plugin": "color", "config": {"channel": "red"}}]}) if form == "mp4" else folder
    assert page_of(scored).count("<video src=") == 2


def test_without_the_video_program_they_are_strips(tmp_path):
    """Nothing decorative ends a run."""
    own = tmp_path / "bin"
    own.mkdir()
    shutil.copy(BUILD / "thalweg", own)
    (own / "plugins").symlink_to(BUILD / "plugins")
    path = write_job(tmp_path / "job.json", {**clips_job(tmp_path), "video": {"format": "frames"}, "output": str(tmp_path / "run")})
    done = subprocess.run([own / "thalweg", "run", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "<video src=" not in page_of(tmp_path / "run") and len(pictures_of(tmp_path / "run")) == 2
    assert "Clips cannot be shown here" in page_of(tmp_path / "run")
