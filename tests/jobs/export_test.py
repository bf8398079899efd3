"""What a run exports is what it evaluated: `evaluate` on the exported LoRA or folder has the run's own final numbers to
the last digit, whatever the dtypes; and the folder holds, by name, what the loader reads, and nothing else."""

import json
import os
import shutil

import pytest
import tiny_sd3
import torch
from program import run_job, thalweg, write_job
from resuming import make_files, short_job
from safetensors.torch import load_file, save_file

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
SIZE = {"height": 16, "width": 16}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("export"))


def copied_model(files, target):
    shutil.copytree(files / "model", target / "model")
    return target / "model"


def job_of(files, model, **sections):
    """A run whose last parameters are exported after one iteration of large steps."""
    job = short_job(files, "diffusion_nft", iterations=1, evaluate={"every": 1, "steps": 3, "pictures": 0}, ema_decay=0.0)
    job["model"] = {"max_sequence_length": 1, **model}
    return {**job, **sections}


def final_numbers(run):
    result = json.loads((run / "result.json").read_text())
    assert result["eval"]["reward"]["after"] != result["eval"]["reward"]["before"], "nothing was trained"
    return {name: row["after"] for name, row in result["eval"].items()}


def evaluated(folder, files, model):
    job = {"job": "evaluate", "model": {"max_sequence_length": 1, **model}, "prompts": {"path": str(files / "prompts.txt")},
           "size": SIZE, "steps": 3, "rewards": [{"plugin": "color"}], "pictures": 0,
           "parallel": {"workers": 1, "micro_batch": 4}, "seed": 11}
    row = json.loads((run_job(folder, job) / "result.json").read_text())["evaluations"][0]
    del row["guidance_scale"]
    return row


@pytest.mark.parametrize("kind,dtype,exported", [
    *[(kind, dtype, "float32") for kind in ("lora", "full") for dtype in ("float32", "bfloat16")],
    ("lora", "float32", "bfloat16"), ("full", "float32", "bfloat16"), ("full", "bfloat16", "bfloat16"),
    ("full", "float32", "float16")])
def test_the_export_has_the_final_numbers(kind, dtype, exported, files, tmp_path):
    base = {"path": str(files / "model"), "dtype": dtype}
    lora = {"lora": {"rank": 3, "alpha": 2}} if kind == "lora" else {}
    run = run_job(tmp_path / "run", job_of(files, {**base, **lora}, export={"dtype": exported}))
    after = {**base, "lora": {"path": str(run / "pytorch_lora_weights.safetensors")}} if lora else {
        **base, "path": str(run / "model")}
    assert evaluated(tmp_path / "evaluation", files, after) == final_numbers(run)
    stored = load_file(run / ("pytorch_lora_weights.safetensors" if lora else f"model/{WEIGHTS}"))
    table = stored.pop("pos_embed.pos_embed", None)
    assert {tensor.dtype for tensor in stored.values()} == {getattr(torch, exported)}
    if not lora:  # never trained: as the base has it, to the bit
        assert torch.equal(table, load_file(files / "model" / WEIGHTS)["pos_embed.pos_embed"])


def test_a_base_of_16_bits_loses_nothing(files, tmp_path):
    """Updates below the rounding of the base's own dtype are exported."""
    model = copied_model(files, tmp_path)
    save_file({name: t.bfloat16() for name, t in load_file(model / WEIGHTS).items()}, model / WEIGHTS)
    base = {"path": str(model), "dtype": "float32"}
    run = run_job(tmp_path / "run", job_of(files, base, optimizer={"learning_rate": 1e-6}))
    assert evaluated(tmp_path / "evaluation", files, {**base, "path": str(run / "model")}) == final_numbers(run)
    before, after = load_file(model / WEIGHTS), load_file(run / "model" / WEIGHTS)
    assert any(not torch.equal(before[name].float(), after[name]) for name in before)
    same = sum((before[name] == after[name].bfloat16()).sum().item() for name in before)
    assert same > 0.9 * sum(tensor.numel() for tensor in before.values())  # in the base's dtype little would be left


def test_a_lora_that_started_from_another(files, tmp_path):
    """The scale of the file is kept, and is no power of 2: alpha and rank give it back to the last bit."""
    base = {"path": str(files / "model")}
    first = run_job(tmp_path / "first", job_of(files, {**base, "lora": {"rank": 3, "alpha": 1.1}}))
    lora = str(first / "pytorch_lora_weights.safetensors")
    second = run_job(tmp_path / "second", job_of(files, {**base, "lora": {"rank": 7, "path": lora}}))
    exported = {"path": str(second / "pytorch_lora_weights.safetensors")}
    assert evaluated(tmp_path / "evaluation", files, {**base, "lora": exported}) == final_numbers(second)


def test_a_mixture(tmp_path):
    """Weights and deviations are written, their logarithms are trained."""
    import laboratory
    job = laboratory.align_job(tmp_path, iterations=2, checkpoint={"every": 2}, evaluate={"every": 2, "steps": 4})
    run = run_job(tmp_path / "run", job)
    evaluation = {"job": "evaluate", "model": {"path": str(run / "model")}, "prompts": {"path": job["prompts"]["eval"]},
                  "size": {key: job["sampler"][key] for key in ("height", "width", "frames") if key in job["sampler"]},
                  "steps": 4, "rewards": job["rewards"], "seed": job["seed"], "pictures": 0, "parallel": job["parallel"]}
    row = json.loads((run_job(tmp_path / "evaluation", evaluation) / "result.json").read_text())["evaluations"][0]
    del row["guidance_scale"]
    assert row == final_numbers(run)


def test_diffusers_loads_what_was_evaluated(files, tmp_path):
    base = {"path": str(files / "model"), "dtype": "bfloat16"}
    run = run_job(tmp_path / "run", job_of(files, base))
    pipe, stored = tiny_sd3.load(run / "model"), load_file(run / "model" / WEIGHTS)
    state = pipe.transformer.state_dict()
    assert state.keys() == stored.keys()
    for name, tensor in state.items():
        assert torch.equal(tensor, stored[name]), name


def linked_as_a_cache(files, target):
    """As Hugging Face's cache lays a repository out: blobs, and a snapshot of links to them."""
    repository = target / "models--x--y"
    (repository / "blobs").mkdir(parents=True)
    snapshot = repository / "snapshots" / "abc"
    for number, source in enumerate(sorted(path for path in (files / "model").rglob("*") if path.is_file())):
        blob, link = repository / "blobs" / str(number), snapshot / source.relative_to(files / "model")
        shutil.copy(source, blob)
        blob.chmod(0o444)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return snapshot


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_what_is_copied_is_what_was_read(files, tmp_path):
    """Links are what they lead to; surplus files, links to elsewhere, .git and dangling links stay behind."""
    model = linked_as_a_cache(files, tmp_path)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("a secret")
    (model / "notes").symlink_to(secret)
    (model / "vae" / "notes").symlink_to(secret)
    (model / "tokenizer" / "merges.txt").unlink(missing_ok=True)
    (model / "tokenizer" / "merges.txt").symlink_to(secret / "key")  # beside tokenizer.json nobody reads it
    (model / "transformer" / "older").mkdir()
    (model / "transformer" / "older" / "x.safetensors").write_text("x")
    (model / "transformer" / "loop").symlink_to(model)
    (model / "dangling").symlink_to(tmp_path / "nowhere")
    (model / "vae" / "dangling.safetensors").symlink_to(tmp_path / "nowhere")
    (model / ".git").mkdir()
    (model / ".git" / "config").write_text("x")
    (model / "README.md").write_text("x")
    run = run_job(tmp_path / "run", job_of(files, {"path": str(model)}))
    expected = names(files / "model")
    assert (files / "model" / "tokenizer" / "tokenizer.json").is_file() and "tokenizer/merges.txt" not in expected
    assert names(run / "model") == expected
    for path in (run / "model").rglob("*"):
        assert not path.is_symlink(), path
        assert path.is_dir() or os.stat(path).st_mode & 0o200, f"{path} cannot be replaced"
    tiny_sd3.load(run / "model")


@pytest.mark.parametrize("kind,output", [("align", "model/"), ("align", "model/vae/../x"), ("sample", "model/runs/new"),
                                         ("evaluate", "model/runs/new")])
def test_an_output_inside_of_the_model_is_refused(kind, output, files, tmp_path):
    model = copied_model(files, tmp_path)
    job = job_of(files, {"path": str(model)})
    if kind != "align":
        job = {"job": kind, "model": job["model"], "prompts": {"texts": ["a red circle"]}, "rewards": job["rewards"],
               **({"sampler": {"steps": 2, **SIZE}} if kind == "sample" else {"size": SIZE})}
    before = names(model)
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / output)}))
    assert done.returncode == 2 and "/output: " in done.stderr and "inside of the model's folder" in done.stderr
    assert names(model) == before


def test_a_model_where_the_export_goes_is_refused(files, tmp_path):
    model = copied_model(files, tmp_path)
    done = thalweg("run", write_job(tmp_path / "job.json", {**job_of(files, {"path": str(model)}), "output": str(tmp_path)}))
    assert done.returncode == 2 and "/model/path: lies where this run writes its own model" in done.stderr


def refused_before_training(files, tmp_path, job, *words, code=2):
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "run")}))
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_names_that_are_taken(files, tmp_path):
    (tmp_path / "run" / "pytorch_lora_weights.safetensors").mkdir(parents=True)
    (tmp_path / "run" / "model").write_text("mine")
    base = {"path": str(files / "model")}
    refused_before_training(files, tmp_path, job_of(files, {**base, "lora": {"rank": 2}}), "/output: ",
                            "pytorch_lora_weights.safetensors\" is in the way")
    refused_before_training(files, tmp_path, job_of(files, base), "/output: ", "model\" is in the way")
    assert (tmp_path / "run" / "model").read_text() == "mine"


def test_a_disk_without_room(files, tmp_path):
    job = job_of(files, {"path": "assets/models/tiny-sd3"}, iterations=10_000_000, checkpoint={"every": 1, "keep": 100_000})
    job["sampler"] = {**job["sampler"], "height": 64, "width": 64}
    refused_before_training(files, tmp_path, job, str(tmp_path / "run"), "the disk is full, or will be",
                            "/checkpoint/keep", code=1)


def test_weights_of_no_meaning_for_a_mixture(tmp_path):
    import laboratory
    job = laboratory.align_job(tmp_path, export={"dtype": "bfloat16"})
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "run")}))
    assert done.returncode == 2 and "/export/dtype: " in done.stderr


def test_a_variant_is_exported_under_the_plain_names(files, tmp_path):
    """Sharded too: the copy is read without naming the variant, by this program and by diffusers."""
    model = copied_model(files, tmp_path)
    pipe = tiny_sd3.load(model).to(torch.float16)
    shutil.rmtree(model)
    pipe.save_pretrained(model, variant="fp16", max_shard_size="10KB")
    assert list(model.glob("text_encoder_2/model*.index.fp16.json"))
    base = {"path": str(model), "variant": "fp16"}
    run = run_job(tmp_path / "run", job_of(files, base))
    assert not [name for name in names(run / "model") if "fp16" in name and "-of-" not in name]
    assert evaluated(tmp_path / "evaluation", files, {"path": str(run / "model")}) == final_numbers(run)
    tiny_sd3.load(run / "model")
