"""What the program says of files that a job names and that do not fit: exit code 2 and the place, as for the job."""

import json
import shutil

import pytest
import tiny_sd3
import torch
from base_jobs import changed
from job_errors_test import assert_refused
from program import run_job, thalweg
from safetensors.torch import load_file, save_file


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    tiny_sd3.make_folder(folder / "model", seed=90)
    (folder / "prompts.txt").write_text("a red circle\ntwo blue squares\n")
    (folder / "select.txt").write_text("a green triangle\ntwo red squares\n")
    (folder / "eval.txt").write_text("a big blue circle\nthree red squares\n")
    save_file({"frames": torch.zeros(2, 1, 3, 16, 16)}, folder / "frames.safetensors")
    return folder


@pytest.fixture
def files(original, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(original, tmp_path / "files")


def job_of(kind, files):
    prompts = str(files / "prompts.txt")
    job = {"version": 1, "job": kind, "output": str(files / "out"), "rewards": [{"plugin": "color"}],
           "model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"path": prompts}}
    sampler = {"name": "flow_ode", "steps": 2, "height": 16, "width": 16}
    if kind == "sample":
        return {**job, "sampler": sampler}
    if kind == "evaluate":
        return {**job, "size": {"height": 16, "width": 16}, "steps": 2}
    if kind == "score":
        del job["model"]
        return {**job, "frames": str(files / "frames.safetensors")}
    return {**job, "sampler": {**sampler, "name": "flow_sde", "steps": 3}, "method": {"name": "flow_grpo"},
            "prompts": {"train": prompts, "select": str(files / "select.txt"), "eval": str(files / "eval.txt")}, "iterations": 1,
            "evaluate": {"steps": 2}}


def refuse(files, job, place, words):
    path = files / "job.json"
    path.write_text(json.dumps(job))
    assert_refused(thalweg("run", path), place, words)


def test_jobs_run_unspoilt(files):
    for kind in ["sample", "evaluate", "score", "align"]:
        path = files / "job.json"
        path.write_text(json.dumps({**job_of(kind, files), "output": str(files / kind)}))
        assert thalweg("run", path).returncode == 0, kind


@pytest.mark.parametrize("kind,pointer,value,place,words", [
    ("sample", "/sampler/height", 18, "/sampler: ", "multiples of 4"),
    ("sample", "/sampler/width", 64, "/sampler: ", "up to 32"),
    ("sample", "/sampler/frames", 2, "/sampler: ", "frames must be 1"),
    ("evaluate", "/size/height", 18, "/size", "multiples of 4"),
    ("sample", "/rewards/0/config", {"channel": "purple"}, "/rewards/0/config/channel", '"red", "green" or "blue"'),
    ("sample", "/rewards/0/config", {"chanel": "red"}, "/rewards/0/config", "chanel"),
    ("score", "/rewards/0/dimensions", {"rednes": 1}, "/rewards/0/dimensions/rednes", 'did you mean "redness"?'),
    ("align", "/evaluate/metric", "color/rednes", "/evaluate/metric", 'did you mean "color/redness"?'),
    ("align", "/model/lora/targets", ["attn.to_z"], "/model/lora/targets", 'did you mean "attn.to_k"?'),
    ("sample", "/prompts/path", "/dev/null", "/dev/null", ""),
    ("sample", "/model/path", "tests", "/model/path", "model_index.json"),
])
def test_value_that_does_not_fit_the_files(kind, pointer, value, place, words, files):
    refuse(files, changed(job_of(kind, files), pointer, value), place, words)


@pytest.mark.parametrize("name,text,place,words", [
    ("prompts.txt", "", "/prompts/path: ", "holds no prompt"),
    ("prompts.txt", "\n\n", "/prompts/path: ", "holds no prompt"),
    ("prompts.jsonl", '{"prompt": "a"}\n{"prompt": \n', "{} line 2: ", "not valid JSON"),
    ("prompts.jsonl", '{"prompt": "a"}\n\n{"text": "a"}\n', "{} line 3: ", '"prompt"'),
    ("prompts.jsonl", '["a"]\n', "{} line 1: ", '"prompt"'),
])
def test_prompts(name, text, place, words, files):
    path = files / name
    path.write_text(text)
    for kind in ["sample", "evaluate", "score"]:
        refuse(files, changed(job_of(kind, files), "/prompts/path", str(path)), place.format(path), words)
    where = place.format(path).replace("/prompts/path", "/prompts/train")
    refuse(files, changed(job_of("align", files), "/prompts/train", str(path)), where, words)


def edited(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def without_tensor(path, name):
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path)


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"

# What is done to the model's folder, the start of the message below that folder, and its words.
SPOILS = {
    "no_vae": (lambda m: shutil.rmtree(m / "vae"), "vae", "no such folder"),
    "no_config": (lambda m: (m / "vae" / "config.json").unlink(), "vae/config.json", "no such file"),
    "no_tokenizer": (lambda m: shutil.rmtree(m / "tokenizer_2"), "tokenizer_2", ""),
    "config_not_json": (lambda m: (m / "transformer" / "config.json").write_text("{"), "transformer/config.json",
                        "not valid JSON"),
    "other_size": (lambda m: edited(m / "transformer" / "config.json", num_layers=3), "transformer",
                   "transformer_blocks.2"),
    "no_tensor": (lambda m: without_tensor(m / "text_encoder" / "model.safetensors",
                                           "text_model.final_layer_norm.bias"), "text_encoder", "final_layer_norm.bias"),
    "cut_short": (lambda m: (m / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(
        (m / "transformer" / "diffusion_pytorch_model.safetensors").read_bytes()[:-4]), "transformer/", ""),
    "pickle_alone": (lambda m: (m / "vae" / "diffusion_pytorch_model.safetensors").rename(
        m / "vae" / "diffusion_pytorch_model.bin"), "vae: ", "has only diffusion_pytorch_model.bin"),
    "inverted": (lambda m: edited(m / "scheduler" / "scheduler_config.json", invert_sigmas=True),
                 "scheduler/scheduler_config.json", '"invert_sigmas" is not supported'),
    "stochastic": (lambda m: edited(m / "scheduler" / "scheduler_config.json", stochastic_sampling=True),
                   "scheduler/scheduler_config.json", '"schedule": {"name": "sd3"'),
    "two_spacings": (lambda m: edited(m / "scheduler" / "scheduler_config.json", use_karras_sigmas=True,
                                      use_beta_sigmas=True), "scheduler/scheduler_config.json", "only one of"),
    "heun": (lambda m: edited(m / "model_index.json", scheduler=["diffusers", "FlowMatchHeunDiscreteScheduler"]),
             "model_index.json", '"sampler": {"name": "heun"}'),
    "ddim": (lambda m: edited(m / "model_index.json", scheduler=["diffusers", "DDIMScheduler"]),
             "model_index.json", '"schedule": {"name": "sd3"'),
    "no_scheduler": (lambda m: edited(m / "model_index.json", scheduler=[None, None]), "model_index.json",
                     "lists no scheduler"),
    "lfs_weights": (lambda m: (m / "vae" / "diffusion_pytorch_model.safetensors").write_text(LFS),
                    "vae/diffusion_pytorch_model.safetensors", "git lfs pull"),
    "lfs_config": (lambda m: (m / "vae" / "config.json").write_text(LFS), "vae/config.json", "git lfs pull"),
    "variant_alone": (lambda m: (m / "vae" / "diffusion_pytorch_model.safetensors").rename(
        m / "vae" / "diffusion_pytorch_model.fp16.safetensors"), "vae: ", '"variant": "fp16" in the job\'s "model"'),
    "other_family": (lambda m: edited(m / "model_index.json", _class_name="StableDiffusion2Pipeline"),
                     "model_index.json", 'did you mean "StableDiffusion3Pipeline"?'),
    "no_family": (lambda m: (m / "model_index.json").write_text("{}"), "model_index.json", "_class_name"),
    "t5": (lambda m: edited(m / "model_index.json", text_encoder_3=["transformers", "T5EncoderModel"]),
           "text_encoder_3", "no such folder"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_model_folder(name, files):
    spoil, place, words = SPOILS[name]
    spoil(files / "model")
    refuse(files, job_of("sample", files), f"{files / 'model' / place}", words)


@pytest.mark.parametrize("kind", ["sample", "evaluate"])
def test_noise_levels_of_the_job_take_the_place_of_the_schedulers(kind, files):
    """A scheduler that is not had here ends no job that names its own."""
    edited(files / "model" / "model_index.json", scheduler=["diffusers", "DEISMultistepScheduler"])
    refuse(files, job_of(kind, files), str(files / "model" / "model_index.json"), "DEISMultistepScheduler, is not had here")
    pointer = {"sample": "/sampler/schedule", "evaluate": "/schedule"}[kind]
    run_job(files / "drawn", changed(job_of(kind, files), pointer, {"name": "sd3", "shift": 3.0}))


def test_a_variant_that_is_not_there(files):
    refuse(files, changed(job_of("sample", files), "/model/variant", "bf16"), str(files / "model"),
           'no component has weights of the variant "bf16"')
    refuse(files, changed(job_of("sample", files), "/model/variant", "../x"), str(files / "model"), "letters, digits")


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (2, 3, 8, 8), (2, 4, 8), (2, 4, 1, 8, 9)])
def test_latents_of_another_shape(shape, files):
    save_file({"latents": torch.zeros(shape)}, files / "noise.safetensors")
    refuse(files, {**job_of("sample", files), "latents": str(files / "noise.safetensors")}, "/latents: ", "[2,4,1,8,8]")


def test_latents_that_are_none(files):
    job = {**job_of("sample", files), "latents": str(files / "noise.safetensors")}
    save_file({"noise": torch.zeros(2, 4, 8, 8)}, files / "noise.safetensors")
    refuse(files, job, f"{files / 'noise.safetensors'}: ", "no tensor named latents")
    (files / "noise.safetensors").write_bytes(b"\x80\x02}q\x00.")  # a pickle
    refuse(files, job, f"{files / 'noise.safetensors'}", "")


def test_pictures_and_prompts_of_different_number(files):
    save_file({"frames": torch.zeros(3, 1, 3, 16, 16)}, files / "frames.safetensors")
    refuse(files, job_of("score", files), "/prompts: ", "2 prompts for 3 pictures")


def test_pictures_that_are_none(files):
    job = changed(job_of("score", files), "/images", str(files / "pictures"))
    del job["frames"]
    (files / "pictures").mkdir()
    refuse(files, job, "/images: ", "holds no PNG or JPEG file")
    (files / "pictures" / "a.png").write_text("not a picture")
    (files / "pictures" / "b.png").write_text("not a picture")
    refuse(files, job, f"{files / 'pictures' / 'a.png'}", "")


def test_plugin_that_is_none(files):
    (files / "text.so").write_text("not a library")
    rewards = [{"plugin": str(files / "text.so"), "isolation": "inproc"}]
    refuse(files, {**job_of("sample", files), "rewards": rewards}, "/rewards/0", "text.so")
    refuse(files, {**job_of("sample", files), "rewards": [{"plugin": str(files / "text.so")}]}, "/rewards/0", "text.so")
