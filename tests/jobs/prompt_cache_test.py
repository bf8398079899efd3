"""Prompts that earlier runs encoded: the same pictures to the bit, and the text encoders are not even opened."""

import json
import subprocess

import pytest
import tiny_sd3
from program import ENVIRONMENT, PROGRAM, ROOT, run_job, thalweg, write_job
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5") / "model"
    tiny_sd3.make_folder(folder, t5={}, seed=90)
    return folder


def sample_job(model, cache, **changes):
    return {"job": "sample", "model": {"path": str(model), "max_sequence_length": 16, "prompt_cache": cache},
            "prompts": {"texts": ["a red circle", "two small blue squares"]}, "negative_prompt": "big",
            "sampler": {"name": "flow_ode", "steps": 3, "guidance_scale": 3.0, "height": 16, "width": 16},
            "save_latents": True, "save_images": False, "parallel": {"workers": 1}, **changes}


def latents(out):
    return (out / "latents.safetensors").read_bytes()


def entries(cache):
    return sorted(cache.glob("*.safetensors"))


def test_with_and_without(model, tmp_path):
    cache = tmp_path / "cache"
    without = latents(run_job(tmp_path / "without", sample_job(model, {"max_gb": 0})))
    assert not cache.exists()
    first = latents(run_job(tmp_path / "first", sample_job(model, {"folder": str(cache)})))
    kept = {path: path.read_bytes() for path in entries(cache)}
    assert len(kept) == 2  # prompts, and the negative prompt
    second = latents(run_job(tmp_path / "second", sample_job(model, {"folder": str(cache)})))
    assert without == first == second
    assert {path: path.read_bytes() for path in entries(cache)} == kept


def test_damaged_entries(model, tmp_path):
    cache = tmp_path / "cache"
    job = sample_job(model, {"folder": str(cache)})
    first = latents(run_job(tmp_path / "first", job))
    kept = entries(cache)
    for path in kept:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    done = thalweg("run", write_job(tmp_path / "second.json", {**job, "output": str(tmp_path / "second")}))
    assert done.returncode == 0 and done.stdout.count("are damaged") == 2
    assert latents(tmp_path / "second") == first
    assert entries(cache) == kept


def test_changed_weights(tmp_path):
    folder, cache = tmp_path / "model", tmp_path / "cache"
    tiny_sd3.make_folder(folder, t5={}, seed=91)
    job = sample_job(folder, {"folder": str(cache)})
    first = latents(run_job(tmp_path / "first", job))
    weights = folder / "text_encoder_3" / "model.safetensors"
    tensors = load_file(weights)
    tensors["encoder.final_layer_norm.weight"] += 0.25
    save_file(tensors, weights, metadata={"format": "pt"})
    second = latents(run_job(tmp_path / "second", job))
    assert second != first and len(entries(cache)) == 4
    assert second == latents(run_job(tmp_path / "third", sample_job(folder, {"max_gb": 0})))


def test_two_processes_at_once(model, tmp_path):
    cache = tmp_path / "cache"
    processes = []
    for name in ["one", "two"]:
        job = sample_job(model, {"folder": str(cache)}, output=str(tmp_path / name))
        processes.append(subprocess.Popen([PROGRAM, "run", write_job(tmp_path / f"{name}.json", job)], cwd=ROOT,
                                          env=ENVIRONMENT, stdout=subprocess.DEVNULL))
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert latents(tmp_path / "one") == latents(tmp_path / "two")
    assert len(entries(cache)) == 2 and not list(cache.glob("*.partial*"))


def test_align_and_resume_do_not_depend_on_it(model, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\ntwo blue squares\n")
    cache = tmp_path / "cache"

    def job(prompt_cache, iterations=2):
        return {"job": "align", "model": {"path": str(model), "max_sequence_length": 16, "lora": {"rank": 2, "alpha": 4},
                                          "prompt_cache": prompt_cache},
                "prompts": {"train": str(prompts), "select": str(prompts), "eval": str(prompts)},
                "sampler": {"name": "flow_ode", "steps": 3, "height": 16, "width": 16}, "rewards": [{"plugin": "color"}],
                "method": {"name": "diffusion_nft", "prompts_per_iteration": 2, "group_size": 4,
                           "times_per_sample": 2}, "iterations": iterations,
                "evaluate": {"every": 2, "steps": 2, "pictures": 2}, "parallel": {"workers": 1}, "seed": 3}

    def result(out):
        return (out / "pytorch_lora_weights.safetensors").read_bytes()

    without = result(run_job(tmp_path / "without", job({"max_gb": 0})))
    with_it = run_job(tmp_path / "with", job({"folder": str(cache)}))
    assert result(with_it) == without
    assert len(entries(cache)) == 2  # three times the same file, and the empty prompt
    # The same folder again with another cache: still the same job.
    run_job(tmp_path / "with", job({"folder": str(tmp_path / "other")}))
    assert json.loads((with_it / "result.json").read_text())["status"] == "succeeded"
