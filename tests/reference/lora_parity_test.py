"""LoRA files and fine-tuned folders in both directions: written by one side, drawn with by both."""

import json

import pytest
import tiny_sd3
import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict
from pipeline_parity_test import (PROMPTS, TOLERANCE, assert_same, diffusers_pictures, noise_for, thalweg_pictures)
from program import run_job, thalweg, write_job
from safetensors import safe_open
from safetensors.torch import load_file, save_file

CALL = dict(guidance_scale=4.5, tokens=7, negative="", size=(16, 24), steps=4)
MODEL = dict(transformer=dict(qk_norm="rms_norm", dual_attention_layers=(0,)), seed=70)
ATTENTION = ["attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "attn.add_q_proj", "attn.add_k_proj",
             "attn.add_v_proj", "attn.to_add_out"]
EVERYTHING = [*ATTENTION, "attn2.to_q", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj",
              "norm1.linear", "norm1_context.linear", "norm_out.linear", "context_embedder", "proj_out",
              "time_text_embed.timestep_embedder.linear_1", "time_text_embed.text_embedder.linear_2"]

# Name, LoraConfig's arguments, whether the file says its alpha.
LORAS = [
    ("attention", dict(r=4, lora_alpha=12, target_modules=ATTENTION), True),
    ("without_metadata", dict(r=3, lora_alpha=3, target_modules=["to_q", "to_v"]), False),
    ("everything", dict(r=2, lora_alpha=5, target_modules=EVERYTHING), True),
    ("rank_stabilised", dict(r=4, lora_alpha=4, target_modules=["to_k", "to_out.0"], use_rslora=True), True),
]


# Of PEFT's own kind: ends of names, whole names, regular expressions; the first that fits counts.
PATTERNS = dict(
    target_modules=["attn.to_q", "attn.to_k", "attn.to_out.0", "ff.net.2", "proj_out"],
    rank_pattern={"^transformer_blocks.1.attn.to_k": 1, "to_k": 5, r"transformer_blocks\.\d+\.ff\..*": 3},
    alpha_pattern={"proj_out": 0.7, "(attn.to_k|ff.net.2)": 6, "0.attn.to_q": 2})


def add_lora(pipe, folder, options, with_metadata, gain=0.5, **components):
    """Gives the transformer an adapter whose two halves are random, and saves it as diffusers does."""
    torch.manual_seed(3)
    pipe.transformer.add_adapter(LoraConfig(init_lora_weights=False, **options))
    with torch.no_grad():
        for name, parameter in pipe.transformer.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape) * gain / parameter.shape[1] ** 0.5)
    metadata = _collate_lora_metadata({"transformer": pipe.transformer}) if with_metadata else {}
    StableDiffusion3Pipeline.save_lora_weights(
        folder, transformer_lora_layers=get_peft_model_state_dict(pipe.transformer), **components, **metadata)
    return folder / "pytorch_lora_weights.safetensors"


@pytest.fixture
def model(tmp_path):
    pipe = tiny_sd3.make_folder(tmp_path / "model", **MODEL)
    return tmp_path / "model", pipe, noise_for(pipe, CALL["size"], len(PROMPTS))


@pytest.mark.parametrize("name,options,with_metadata", LORAS, ids=[case[0] for case in LORAS])
def test_lora_of_diffusers(name, options, with_metadata, model, tmp_path):
    folder, pipe, noise = model
    base = diffusers_pictures(pipe, noise, CALL)
    path = add_lora(pipe, tmp_path / "lora", options, with_metadata, gain=0.2 if name == "everything" else 0.5)
    theirs = diffusers_pictures(pipe, noise, CALL)
    assert (theirs[0] - base[0]).abs().max() > 0.05 and theirs[0].std() < 5
    assert_same(thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": {"path": str(path)}}), theirs)
    loaded = tiny_sd3.load(folder)
    loaded.load_lora_weights(path.parent)
    assert_same(diffusers_pictures(loaded, noise, CALL), theirs)


def refused(folder, lora, tmp_path, kind="sample"):
    """What the program says of a LoRA that it must refuse."""
    (tmp_path / "prompts.txt").write_text("a red circle\n")
    job = {"job": "sample", "model": {"path": str(folder), "lora": {"path": str(lora)}},
           "prompts": {"texts": ["a red circle"]}, "sampler": {"height": 16, "width": 16, "steps": 2},
           "output": str(tmp_path / "refused")}
    if kind == "align":
        job = align_job(folder, tmp_path, "diffusion_nft", {"path": str(lora), "rank": 4, "alpha": 12})
        job["output"] = str(tmp_path / "refused")
    done = thalweg("run", write_job(tmp_path / "refused.json", job))
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.parametrize("kind", ["sample", "align"])
def test_lora_with_a_part_for_another_component(kind, model, tmp_path):
    """Leaving the text encoder's part out would draw another picture than diffusers does."""
    folder, pipe, noise = model
    pipe.text_encoder.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj"]))
    path = add_lora(pipe, tmp_path / "lora", LORAS[0][1], True,
                    text_encoder_lora_layers=get_peft_model_state_dict(pipe.text_encoder))
    assert any(name.startswith("text_encoder.") for name in load_file(path))
    assert "text_encoder." in refused(folder, path, tmp_path, kind)


@pytest.mark.parametrize("kind", ["sample", "align"])
def test_lora_for_a_layer_that_is_not_there(kind, model, tmp_path):
    """What matches is used; what does not is counted and named."""
    folder, pipe, noise = model
    path = add_lora(pipe, tmp_path / "lora", LORAS[0][1], True)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    moved = {name.replace("transformer_blocks.1.", "transformer_blocks.7."): t for name, t in load_file(path).items()}
    save_file(moved, path, metadata)
    note = "7 of 15 modules match no layer of the model and are left out: \"transformer_blocks.7.attn.add_k_proj\""
    if kind == "sample":
        job = {"job": "sample", "model": {"path": str(folder), "lora": {"path": str(path)}},
               "prompts": {"texts": ["a red circle"]}, "sampler": {"height": 16, "width": 16, "steps": 2}}
    else:
        job = align_job(folder, tmp_path, "diffusion_nft", {"path": str(path), "rank": 4})
    job["output"] = str(tmp_path / "run")
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 0 and note in done.stdout, done.stdout + done.stderr
    if kind == "align":
        events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
        event = next(event for event in events if event["type"] == "lora_unmatched")
        assert event["level"] == "warn" and note in event["message"]
        assert event["data"] == {"matched": 8, "unmatched": 7, "text_encoder_tensors": 0}


def test_align_starts_only_from_a_lora_of_its_own_layers(model, tmp_path):
    folder, pipe, noise = model
    path = add_lora(pipe, tmp_path / "lora", dict(r=4, lora_alpha=12, target_modules=[*ATTENTION, "ff.net.2"]), True)
    assert "ff.net.2" in refused(folder, path, tmp_path, "align")


def align_job(folder, tmp_path, method, lora=None):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\ntwo blue squares\na big green triangle\n")
    job = {"job": "align", "model": {"path": str(folder), "max_sequence_length": 7},
           "prompts": {"train": str(prompts), "select": str(prompts), "eval": str(prompts)},
           "sampler": {"name": "flow_sde" if method == "flow_grpo" else "flow_ode", "steps": 3, "height": 16,
                       "width": 24},
           "rewards": [{"plugin": "color"}],
           "method": {"name": method, "prompts_per_iteration": 2, "group_size": 4},
           "optimizer": {"learning_rate": 0.02 if lora else 0.002}, "iterations": 2,
           "evaluate": {"steps": 2, "pictures": 2}, "parallel": {"workers": 1, "micro_batch": 4}}
    if method == "diffusion_nft":
        job["method"]["times_per_sample"] = 2
    if lora:
        job["model"]["lora"] = lora
    return job


@pytest.mark.parametrize("method,lora", [
    ("flow_grpo", {"rank": 4, "alpha": 8}),
    ("diffusion_nft", {"rank": 2, "alpha": 3.5, "targets": ["attn.to_q", "ff.net.2", "proj_out"]}),
    ("diffusion_nft", {"rank": 2, "alpha": 3.5, "targets": PATTERNS["target_modules"],
                       "rank_pattern": PATTERNS["rank_pattern"], "alpha_pattern": PATTERNS["alpha_pattern"]}),
], ids=["flow_grpo", "diffusion_nft", "patterns"])
def test_lora_of_thalweg(method, lora, model, tmp_path):
    folder, pipe, noise = model
    base = diffusers_pictures(pipe, noise, CALL)
    path = run_job(tmp_path / "run", align_job(folder, tmp_path, method, lora)) / "pytorch_lora_weights.safetensors"
    pipe.load_lora_weights(path.parent)
    theirs = diffusers_pictures(pipe, noise, CALL)
    assert (theirs[0] - base[0]).abs().max() > 20 * TOLERANCE
    assert_same(thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": {"path": str(path)}}), theirs)
    config = pipe.transformer.peft_config["default_0"]
    assert (config.r, config.lora_alpha) == (lora["rank"], lora["alpha"])
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["lora_adapter_metadata"])["transformer.r"] == lora["rank"]


def strengths(pipe):
    """Rank and scale of each adapted layer, as PEFT has them."""
    return {name: (layer.r[adapter], layer.scaling[adapter]) for name, layer in pipe.transformer.named_modules()
            if isinstance(layer, LoraLayer) for adapter in layer.r}


def test_ranks_and_alphas_by_layer_are_those_of_peft(model, tmp_path):
    """The written file gives each layer what PEFT gives it for the same patterns; so does the run that starts from it,
    and its file in turn."""
    folder, pipe, noise = model
    pipe.transformer.add_adapter(LoraConfig(r=2, lora_alpha=3.5, **PATTERNS))
    expected = strengths(pipe)
    assert len({rank for rank, scale in expected.values()}) == 4 and len({scale for rank, scale in expected.values()}) >= 5
    lora = {"rank": 2, "alpha": 3.5, "targets": PATTERNS["target_modules"], "rank_pattern": PATTERNS["rank_pattern"]}
    job = align_job(folder, tmp_path, "diffusion_nft", {**lora, "alpha_pattern": PATTERNS["alpha_pattern"]})
    first = run_job(tmp_path / "run", job)
    job = align_job(folder, tmp_path, "diffusion_nft", {**lora, "path": str(first / "pytorch_lora_weights.safetensors")})
    job["optimizer"] = {"learning_rate": 0.0}
    second = run_job(tmp_path / "again", job)
    read, other = (load_file(run / "pytorch_lora_weights.safetensors") for run in (first, second))
    assert read.keys() == other.keys() and all(torch.equal(read[name], other[name]) for name in read)
    done = thalweg("export", second, "--to", tmp_path / "exported")
    assert done.returncode == 0, done.stderr
    (tmp_path / "converted").mkdir()
    done = thalweg("lora", first / "pytorch_lora_weights.safetensors", "--model", folder, "--to",
                   tmp_path / "converted" / "pytorch_lora_weights.safetensors")
    assert done.returncode == 0 and "rank          1 to 5" in done.stdout, done.stdout + done.stderr
    pictures = None
    for run in (first, second, tmp_path / "exported", tmp_path / "converted"):
        fresh = tiny_sd3.load(folder)
        fresh.load_lora_weights(run)
        found = strengths(fresh)
        assert {name: rank for name, (rank, scale) in found.items()} == {name: rank for name, (rank, scale) in expected.items()}
        assert {name: scale for name, (rank, scale) in found.items()} == pytest.approx(
            {name: scale for name, (rank, scale) in expected.items()}, rel=1e-12), run
        drawn = diffusers_pictures(fresh, noise, CALL)
        pictures = pictures or drawn
        assert_same(drawn, pictures)


@pytest.mark.parametrize("lora,words", [
    ({"rank_pattern": {"to_z": 4}}, '/model/lora/rank_pattern: the pattern "to_z" fits none of the 15 adapted layers'),
    ({"alpha_pattern": {"ff.net.2": 4}}, '/model/lora/alpha_pattern: the pattern "ff.net.2" fits none'),
    ({"rank_pattern": {"to_q": 4, "attn.to_q": 2}}, '"attn.to_q" decides nothing'),
])
def test_a_pattern_that_decides_nothing_is_refused(lora, words, model, tmp_path):
    folder, pipe, noise = model
    job = align_job(folder, tmp_path, "diffusion_nft", {"rank": 4, "alpha": 8, **lora})
    for command in (["run"], ["plan"]):
        done = thalweg(*command, write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "refused")}))
        assert done.returncode == 2 and words in done.stderr, done.stderr


def test_lora_that_align_starts_from(model, tmp_path):
    """Without an update (learning rate 0) the written LoRA is the one read."""
    folder, pipe, noise = model
    path = add_lora(pipe, tmp_path / "lora", LORAS[0][1], True)
    job = align_job(folder, tmp_path, "flow_grpo", {"path": str(path), "rank": 4, "alpha": 1})
    job["optimizer"] = {"learning_rate": 0.0}
    written = run_job(tmp_path / "run", job) / "pytorch_lora_weights.safetensors"
    read, other = load_file(path), load_file(written)
    assert read.keys() == other.keys()
    assert all(torch.equal(read[name], other[name]) for name in read)
    fresh = tiny_sd3.load(folder)
    fresh.load_lora_weights(written.parent)
    assert_same(diffusers_pictures(fresh, noise, CALL), diffusers_pictures(pipe, noise, CALL))


def test_lora_that_align_widens(model, tmp_path):
    """More ranks and layers than the file has: the start draws the same picture, and all of it can learn."""
    folder, pipe, noise = model
    path = add_lora(pipe, tmp_path / "lora", dict(r=2, lora_alpha=6, target_modules=["attn.to_q"]), True)
    job = align_job(folder, tmp_path, "diffusion_nft", {"path": str(path), "rank": 5, "targets": ["attn.to_q", "ff.net.2"]})
    job["iterations"] = 1
    still = run_job(tmp_path / "still", {**job, "optimizer": {"learning_rate": 0.0}})
    written = still / "pytorch_lora_weights.safetensors"
    config = json.loads(safe_open(written, "pt").metadata()["lora_adapter_metadata"])
    assert (config["transformer.r"], config["transformer.lora_alpha"]) == (5, 15)
    theirs = diffusers_pictures(pipe, noise, CALL)
    assert_same(thalweg_pictures(folder, noise, CALL, tmp_path, model={"lora": {"path": str(written)}}), theirs)
    learnt = load_file(run_job(tmp_path / "learnt", job) / "pytorch_lora_weights.safetensors")
    for name, tensor in learnt.items():
        rows = tensor if "lora_A" in name else tensor.T
        assert rows.shape[0] == 5 and (rows.abs().amax(1) > 0).all(), name
    job["model"]["lora"]["rank"] = 1
    done = thalweg("run", write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "narrow")}))
    assert done.returncode == 2 and "/model/lora/rank: must be at least 2" in done.stderr


@pytest.mark.parametrize("method", ["flow_grpo", "diffusion_nft"])
def test_folder_of_full_fine_tuning(method, model, tmp_path):
    folder, pipe, noise = model
    base = diffusers_pictures(pipe, noise, CALL)
    tuned = run_job(tmp_path / "run", align_job(folder, tmp_path, method)) / "model"
    theirs = diffusers_pictures(tiny_sd3.load(tuned), noise, CALL)
    assert (theirs[0] - base[0]).abs().max() > 20 * TOLERANCE
    assert_same(thalweg_pictures(tuned, noise, CALL, tmp_path), theirs)
