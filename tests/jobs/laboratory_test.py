"""Whole jobs on models whose truth is known: what the program saves against the closed forms of assets/laboratory."""

import json
import re

import mixtures
import numpy as np
import pytest
from laboratory import JOBS, LINE, VIDEO, align_job, run, sample_job
from mixtures import LABORATORY, REFERENCE, mean, saved_latents, variance, w1
from program import ROOT, thalweg, validated, write_job
from safetensors.numpy import load_file, save_file


# 20 000 samples: the error of the mean is .009, of W1 about .01 on top of that of 100 steps.
@pytest.mark.parametrize("name, bound", [("ode", 0.03), ("sde", 0.02)])
def test_samples_follow_the_mixture(tmp_path, name, bound):
    saved = saved_latents(run(JOBS / f"laboratory_{name}.json", tmp_path / "run"))
    x = saved["latents"]
    assert list(saved) == ["latents"] and x.dtype == np.float64 and x.shape == (20000, 1, 1, 1)
    assert abs(x.mean() - mean(REFERENCE)) < 0.03
    assert abs(x.var() - variance(REFERENCE)) < 0.06
    assert w1(x, REFERENCE) < bound
    assert w1(x, mixtures.tilted(REFERENCE, 1.2)) > 1.3  # the measure tells laws apart
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["rewards"]["analytic/linear"]["mean"] == pytest.approx(x.mean(), abs=1e-6)


# In 100 steps; Flow-CPS alone does not keep the marginals.
@pytest.mark.parametrize("name, low, high", [("dance_sde", 0, 0.04), ("memoryless", 0, 0.05), ("cps", 0.06, 0.2)])
def test_samplers_keep_the_mixture_or_do_not(tmp_path, name, low, high):
    job = sample_job(tmp_path, "line", LINE, images_per_prompt=20000, parallel={"micro_batch": 20000},
                     sampler={"name": name, "steps": 100, **LINE})
    assert low < w1(saved_latents(run(job, tmp_path / "run"))["latents"], REFERENCE) < high


def test_the_ode_is_that_of_numpy_from_the_same_noise(tmp_path):
    noise = np.random.default_rng(3).standard_normal((500, 1, 1, 1))
    save_file({"latents": noise}, tmp_path / "noise.safetensors")
    job = sample_job(tmp_path, "line", LINE, images_per_prompt=500, latents=str(tmp_path / "noise.safetensors"))
    x, steps = noise.copy(), 100
    for i in range(steps):
        x = x - mixtures.velocity(x, 1 - i / steps, REFERENCE) / steps
    for size in (1, 7, 500):  # of the micro-batch
        folder = run(job, tmp_path / str(size), "--set", f"/parallel/micro_batch={size}", "--set", "/model/dtype=bfloat16")
        assert np.abs(saved_latents(folder)["latents"] - x).max() < 1e-12


def test_each_prompt_has_its_mixture(tmp_path):
    prompts = ["left", "something else", "right", ""]
    x = saved_latents(run(sample_job(tmp_path, "prompts", LINE, prompts={"texts": prompts}), tmp_path / "run"))["latents"]
    for part, prompt in zip(np.split(x, 4), ["left", None, "right", None]):
        assert w1(part, mixtures.mixture(LABORATORY / "prompts", prompt)) < 0.08


def test_elements_of_a_product_are_independent(tmp_path):
    job = sample_job(tmp_path, "product", {"height": 8, "width": 8}, images_per_prompt=1000, rewards=[{"plugin": "analytic"}])
    x = saved_latents(run(job, tmp_path / "run"))["latents"].reshape(1000, 64)
    assert w1(x, REFERENCE) < 0.04
    correlation = np.corrcoef(x, rowvar=False) - np.eye(64)
    assert np.abs(correlation).max() < 0.16  # 2016 pairs, standard error .032


def test_frames_of_a_video_are_its_latents(tmp_path):
    job = sample_job(tmp_path, "video", VIDEO, images_per_prompt=5, save_frames=True, save_images=True, video={"format": "both"})
    folder = run(job, tmp_path / "run")
    x = saved_latents(folder)["latents"]
    frames = load_file(folder / "frames.safetensors")["frames"]
    assert x.shape == (5, 1, 4, 2, 2) and frames.shape == (5, 4, 3, 2, 2)
    assert (frames == np.repeat(x.transpose(0, 2, 1, 3, 4).astype(np.float32), 3, axis=2)).all()
    names = {f"{i:05d}_frame{f:04d}.png" for i in range(5) for f in range(4)} | {f"{i:05d}.mp4" for i in range(5)}
    assert {path.name for path in (folder / "samples").iterdir()} == names


def test_other_jobs_score_videos_of_a_mixture(tmp_path):
    job = sample_job(tmp_path, "video", VIDEO, images_per_prompt=50, save_frames=True, rewards=[{"plugin": "analytic"}])
    folder = run(job, tmp_path / "run")
    values = saved_latents(folder)["latents"].reshape(50, -1).mean(1)
    rewards = [{"plugin": "analytic", "config": {"kind": "quadratic", "center": 0.5}},
               {"plugin": "analytic", "config": {"kind": "indicator", "threshold": -0.5}}]
    score = write_job(tmp_path / "score.json", {"job": "score", "frames": str(folder / "frames.safetensors"),
                                                "prompts": {"texts": [""] * 50}, "rewards": rewards,
                                                "output": str(tmp_path / "scored")})
    scored = json.loads((run(score, tmp_path / "scored") / "result.json").read_text())["rewards"]
    assert scored["analytic/indicator"]["mean"] == pytest.approx((values > -0.5).mean())
    x = saved_latents(folder)["latents"]
    assert scored["analytic/quadratic"]["mean"] == pytest.approx(-((x - 0.5) ** 2).mean(), rel=1e-5)
    evaluate = {"job": "evaluate", "model": {"path": str(LABORATORY / "video")}, "prompts": {"texts": ["a"] * 200},
                "size": VIDEO, "steps": 50, "rewards": [{"plugin": "analytic"}], "output": str(tmp_path / "evaluated")}
    result = json.loads((run(write_job(tmp_path / "e.json", evaluate), tmp_path / "evaluated") / "result.json").read_text())
    # The mean of 16 elements of variance 1.7, of 200 samples: standard error .023.
    assert result["evaluations"][0]["reward"] == pytest.approx(mean(REFERENCE), abs=0.09)


def test_the_page_says_how(tmp_path):
    text = (LABORATORY / "README.md").read_text()
    _, _, check, own, _ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)  # others: guidance_to_policy, laboratory_steering, direct_law
    run(JOBS / "laboratory_sde.json", tmp_path / "runs" / "laboratory_sde")
    names = {}
    exec(check.replace("runs/", f"{tmp_path}/runs/"), names)
    assert names["w1"] == pytest.approx(w1(names["x"], REFERENCE), rel=1e-2)
    names.update(K=100, x=np.random.default_rng(0).standard_normal(20000))
    exec(own, names)
    assert w1(names["x"], REFERENCE) < 0.03


def refusal(job, *arguments):
    done = thalweg("run", job, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_a_mixture_cannot_do_is_said(tmp_path):
    path = tmp_path / "job.json"
    said = refusal(write_job(path, align_job(tmp_path, model={"path": str(LABORATORY / "video"), "lora": {"rank": 4}},
                                             output=str(tmp_path / "run"))))
    assert "/model/lora" in said and "no layer that a LoRA could adapt" in said
    said = refusal(sample_job(tmp_path, "video", {"height": 64, "width": 64}))
    assert "/sampler" in said and "height 2, width 2 and frames 4" in said
    said = refusal(sample_job(tmp_path, ROOT / "assets/models/tiny-sd3", LINE))
    assert "/sampler" in said and "multiples of" in said
    lora = tmp_path / "lora.safetensors"
    save_file({"x.lora_A.weight": np.zeros((1, 1), np.float32), "x.lora_B.weight": np.zeros((1, 1), np.float32)}, lora)
    said = refusal(sample_job(tmp_path, "line", LINE), "--set", f"/model/lora/path={lora}")
    assert "no layer that a LoRA could adapt" in said


def test_plan_and_validate_know_the_family(tmp_path):
    for job in (JOBS / "laboratory_sde.json", write_job(tmp_path / "align.json", align_job(tmp_path, output=str(tmp_path / "out")))):
        assert validated(job).returncode == 0
        for mode in ([], ["--estimate"]):
            done = thalweg("plan", job, "--json", *mode)
            assert done.returncode == 0, done.stdout + done.stderr
            assert json.loads(done.stdout)["memory"]["peak_bytes"] > 0
