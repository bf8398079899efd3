"""A run goes on where it was, or says why it does not: other inputs, another job or machine, damaged checkpoints."""

import json
import shutil

import pytest
from program import PROGRAM, thalweg, write_job
from resuming import checkpoint_steps, finish, make_files, rows, short_job, start, wait_for


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("resume"))


@pytest.fixture
def halfway(files, tmp_path):
    """A run with checkpoints 3 and 4 of 6 (a copy to spoil), its inputs in `tmp_path`, and its job."""
    inputs = tmp_path / "inputs"
    shutil.copytree(files / "model", inputs / "model")
    shutil.copy(files / "prompts.txt", inputs / "train.txt")
    shutil.copy(next((PROGRAM.parent / "plugins").rglob("color.so")), inputs / "red.so")
    job = short_job(files, "flow_grpo", model={"path": str(inputs / "model")}, prompts={"train": str(inputs / "train.txt")},
                    checkpoint={"every": 1, "keep": 2}, evaluate={"every": 6})
    job["rewards"] = [{"plugin": str(inputs / "red.so"), "isolation": "inproc"}]
    folder = tmp_path / "halfway" / "run"
    process = start(folder, job)
    wait_for(process, lambda: (folder / "checkpoint-4").exists())
    process.kill()
    process.communicate()
    return folder, job, inputs


def refused(folder, job):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = thalweg("run", write_job(folder.parent / "job.json", {**job, "output": str(folder)}))
    assert done.returncode == 2, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return done.stderr


@pytest.mark.parametrize("name,pointer", [("train.txt", "/prompts/train"), ("red.so", "/rewards/0/plugin"),
                                          ("model/transformer/config.json", "/model/path"),
                                          ("model/vae/diffusion_pytorch_model.safetensors", "/model/path")])
def test_changed_input_is_refused_by_name(name, pointer, halfway):
    folder, job, inputs = halfway
    path = inputs / name
    original = path.read_bytes()
    path.write_bytes(original + (b" " if name != "train.txt" else b"a blue circle\n"))
    said = refused(folder, job)
    assert said.startswith(f"thalweg: {pointer}: {path} has changed since {folder}/checkpoint-"), said
    path.write_bytes(original)
    assert "resuming at iteration" in finish(folder, job)


def test_another_job_is_refused_by_its_first_difference(halfway):
    folder, job, _ = halfway
    said = refused(folder, {**job, "optimizer": {"learning_rate": 0.02, "warmup_iterations": 2}})
    assert "belongs to another job: /optimizer/learning_rate is 0.01 there and 0.02 here" in said


@pytest.mark.parametrize("key,value,words", [("libtorch", "2.10.0", "computed with another LibTorch: 2.10.0 there"),
                                             ("cpu_capability", "AVX9", "set ATEN_CPU_CAPABILITY")])
def test_another_machine_is_refused_by_name(key, value, words, halfway):
    folder, job, _ = halfway
    for manifest in folder.glob("checkpoint-*/manifest.json"):
        content = json.loads(manifest.read_text())
        content["run"]["machine"][key] = value
        manifest.write_text(json.dumps(content))
    assert words in refused(folder, job)


def said_of(folder):
    """Types of its events, but for what a run says of itself wherever it is stopped."""
    return [event["type"] for event in rows(folder / "events.jsonl") if event["type"] != "self_check"]


def test_another_processor_is_said(halfway):
    folder, job, _ = halfway
    for manifest in folder.glob("checkpoint-*/manifest.json"):
        content = json.loads(manifest.read_text())
        content["run"]["machine"]["processor"] = "Abacus"
        manifest.write_text(json.dumps(content))
    assert "computed on another processor (Abacus there" in finish(folder, job)
    assert said_of(folder) == ["prompts_shared", "other_processor"]


SPOILS = {"manifest cut": lambda c: (c / "manifest.json").write_text('{"version": 2, "st'),
          "no manifest": lambda c: (c / "manifest.json").unlink(),
          "weights changed": lambda c: (c / "policy.safetensors").write_bytes(b"\0" * (c / "policy.safetensors").stat().st_size),
          "state missing": lambda c: (c / "state.json").unlink()}


@pytest.mark.parametrize("spoil", SPOILS)
def test_damaged_checkpoint_is_passed_over(spoil, halfway):
    folder, job, _ = halfway
    last = folder / f"checkpoint-{checkpoint_steps(folder)[-1]}"
    step = checkpoint_steps(folder)[-2]
    SPOILS[spoil](last)
    said = finish(folder, job)
    assert "a checkpoint is damaged and passed over" in said and f"resuming at iteration {step}" in said
    event = rows(folder / "events.jsonl")[-1]
    assert (event["level"], event["type"], event["step"]) == ("warn", "checkpoint_damaged", step)
    assert event["data"]["checkpoint"] == last.name
    assert (folder / f"{last.name}.damaged").is_dir()


def test_only_damaged_checkpoints(halfway):
    folder, job, _ = halfway
    for manifest in folder.glob("checkpoint-*/manifest.json"):
        manifest.write_text("")
    said = finish(folder, job)
    assert "no checkpoint is whole: the run starts from the beginning" in said
    assert [row["step"] for row in rows(folder / "metrics.jsonl") if row["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
