"""What a run exports (LoRA, model folder, report, result, metrics, pictures) names no path of the machine, and the
LoRA's metadata says where it comes from. job.json, events.jsonl and checkpoints stay with the run: they keep what the
user wrote."""

import hashlib
import json
import shutil

import pytest
import tiny_sd3
from program import run_job
from safetensors import safe_open
from workers_test import align_job

KEPT = {"job.json", "events.jsonl"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secret-folder")
    tiny_sd3.make_folder(folder / "model", seed=80)
    (folder / "prompts.txt").write_text("a red circle\na blue square\nthe green triangle\n")
    index = json.loads((folder / "model" / "model_index.json").read_text())
    (folder / "model" / "model_index.json").write_text(json.dumps({**index, "_name_or_path": str(folder / "model")}))
    config = folder / "model" / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_name_or_path": str(folder / "older")}))
    return folder


@pytest.fixture(scope="module")
def plugin(files):
    """A reward from outside the installation, named by its absolute path."""
    from parity_tool import BUILD
    target = files / "my_color.so"
    shutil.copy(BUILD / "plugins" / "color.so", target)
    return {"plugin": str(target), "isolation": "inproc", "weight": 2}


def run(files, plugin, output, **changes):
    job = {**align_job(files, "diffusion_nft"), "rewards": [plugin], "iterations": 1,
           "evaluate": {"every": 1, "steps": 2, "pictures": 2}, **changes}
    return run_job(files / output, job)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_exported_files_hold_no_path(files, plugin, kind):
    changes = {} if kind == "lora" else {"model": {"path": str(files / "model") + "/", "max_sequence_length": 1}}
    out = run(files, plugin, f"run-{kind}", **changes)
    exported = [path for path in out.rglob("*") if path.is_file() and path.name not in KEPT
                and not path.relative_to(out).parts[0].startswith("checkpoint-")]
    names = {path.name for path in exported}
    assert {"report.html", "result.json", "metrics.jsonl"} <= names
    assert ("pytorch_lora_weights.safetensors" if kind == "lora" else "model_index.json") in names
    assert str(files) in (out / "job.json").read_text()  # the search would find it
    for path in exported:
        for secret in [str(files), files.name]:
            assert secret.encode() not in path.read_bytes(), f"{path.relative_to(out)} holds {secret}"
    report = (out / "report.html").read_text()
    assert "diffusion_nft on model" in report and "my_color.so" in report
    if kind == "full":
        config = json.loads((out / "model" / "transformer" / "config.json").read_text())
        assert "_name_or_path" not in config and config["_class_name"] == "SD3Transformer2DModel"


def test_metadata_of_a_lora(files, plugin):
    job = {"model": {"path": str(files / "model"), "max_sequence_length": 1, "lora": {"rank": 2, "alpha": 3}}}
    path = run(files, plugin, "named", name="My run", seed=9, **job) / "pytorch_lora_weights.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    base = files / "model" / "transformer" / "diffusion_pytorch_model.safetensors"
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    iteration = metadata.pop("thalweg.iteration")
    assert iteration == "1"
    assert json.loads(metadata.pop("lora_adapter_metadata"))["transformer.lora_alpha"] == 3
    assert metadata == {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v3/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": "My run",
        "modelspec.resolution": "16x16",
        "modelspec.hash_sha256": "0x" + hashlib.sha256(data[begin:]).hexdigest(),
        "ss_network_dim": "2",
        "ss_network_alpha": "3.0",
        "thalweg.job_name": "My run",
        "thalweg.method": "diffusion_nft",
        "thalweg.rewards": '{"my_color/redness":2.0}',
        "thalweg.seed": "9",
        "thalweg.base_model": "model",
        "thalweg.base_sha256": hashlib.sha256(base.read_bytes()).hexdigest(),
    }
