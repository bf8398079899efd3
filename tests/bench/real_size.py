"""Loading, encoding, a step and memory at Stable Diffusion 3.5 medium's full size on a CPU, beside diffusers.

    .deps/venv/bin/python tests/bench/real_size.py [--folder runs/sd35_tiled] [--rounds 3] [--steps 2]

Needs the tests' Python packages, 7 GB of disk and 12 GB of memory. The first run makes the model in a minute: the shapes
are those of the published one (without T5), each tensor a tile of one random block, norms one, biases zero. Every figure
is of a process of its own, in turn, the files in the page cache; CPU seconds, of which only the ratio means something
on a shared machine. Thalweg's first run keeps the encoded prompts, its second takes them: both are shown."""

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from gpu_sd35 import FULL, ROOT, copy_tokenizers

PROGRAM = pathlib.Path(os.environ.get("THALWEG_PROGRAM", ROOT / "build/release/thalweg"))
PROMPT, SIDE, GUIDANCE = "a red circle", 256, 4.5


def tile_file(path, module, tile):
    """The module's state in bfloat16 as one safetensors file, written as it comes."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    tensors = {name: tensor for name, tensor in module.state_dict().items() if not name.endswith("position_ids")}
    for name, tensor in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [at, at + 2 * tensor.numel()]}
        at += 2 * tensor.numel()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in tensors.items():
            count = 2 * tensor.numel()
            if tensor.dim() == 1:
                file.write((b"\x80\x3f" if name.endswith("weight") else b"\0\0") * tensor.numel())  # 1.0 and 0.0
                continue
            while count > 0:
                file.write(tile[:count])
                count -= len(tile)


def make_model(folder):
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    # Not a power of two long, so that rows of a matrix differ.
    tile = memoryview(torch.randn(33_554_393).mul_(0.02).to(torch.bfloat16).view(torch.uint8).numpy()).cast("B")
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)

    def save(name, module, weights):
        target = partial / name
        target.mkdir(parents=True)
        config = module.config.to_dict() if hasattr(module.config, "to_dict") else dict(module.config)
        (target / "config.json").write_text(json.dumps({**config, "_class_name": type(module).__name__}, default=str))
        tile_file(target / weights, module, tile)

    with torch.device("meta"):
        save("transformer", SD3Transformer2DModel(**FULL["transformer"]), "diffusion_pytorch_model.safetensors")
        save("vae", AutoencoderKL(in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4,
                                  up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=1.5305, shift_factor=0.0609,
                                  use_quant_conv=False, use_post_quant_conv=False, **FULL["vae"]),
             "diffusion_pytorch_model.safetensors")
        for name in ("text_encoder", "text_encoder_2"):
            config = CLIPTextConfig(vocab_size=49408, max_position_embeddings=FULL["tokens"], bos_token_id=575,
                                    eos_token_id=576, pad_token_id=576, **FULL[name])
            save(name, CLIPTextModelWithProjection(config), "model.safetensors")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(partial / "scheduler")
    copy_tokenizers(partial, FULL["tokens"])
    shutil.copy(ROOT / "assets" / "models" / "tiny-sd3" / "model_index.json", partial)
    partial.rename(folder)


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def diffusers_run(folder, steps):
    """In this process: CPU seconds of each part, and the peak."""
    import torch
    from diffusers import StableDiffusion3Pipeline

    torch.set_num_threads(1)
    marks = [cpu_seconds()]
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, torch_dtype=torch.bfloat16, text_encoder_3=None,
                                                    tokenizer_3=None)
    pipe.set_progress_bar_config(disable=True)
    marks.append(cpu_seconds())
    with torch.no_grad():
        embeds = pipe.encode_prompt(PROMPT, None, None, negative_prompt="", max_sequence_length=1)
        marks.append(cpu_seconds())
        latents = pipe(prompt_embeds=embeds[0], negative_prompt_embeds=embeds[1], pooled_prompt_embeds=embeds[2],
                       negative_pooled_prompt_embeds=embeds[3], height=SIDE, width=SIDE, num_inference_steps=steps,
                       guidance_scale=GUIDANCE, output_type="latent").images
        marks.append(cpu_seconds())
        pipe.vae.to(torch.float32).decode(latents.float() / pipe.vae.config.scaling_factor
                                          + pipe.vae.config.shift_factor)
        marks.append(cpu_seconds())
    load, encode, draw, decode = (after - before for before, after in zip(marks, marks[1:]))
    return {"load": load, "encode": encode, "step": draw / steps, "decode": decode,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def thalweg_run(folder, steps, cache):
    with tempfile.TemporaryDirectory() as scratch:
        job = {"version": 1, "job": "sample",
               "model": {"path": str(folder), "dtype": "bfloat16", "max_sequence_length": 1,
                         "prompt_cache": {"folder": str(cache), "max_gb": 1}},
               "prompts": {"texts": [PROMPT]}, "parallel": {"workers": 1},
               "sampler": {"name": "flow_ode", "steps": steps, "height": SIDE, "width": SIDE,
                           "guidance_scale": GUIDANCE}, "output": scratch + "/run"}
        path = pathlib.Path(scratch) / "job.json"
        path.write_text(json.dumps(job))
        process = subprocess.Popen([PROGRAM, "run", path], cwd=ROOT, stdout=subprocess.DEVNULL,
                                   env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit("the job failed")
        phases = json.loads((pathlib.Path(scratch) / "run/result.json").read_text())["time_phases"]
    drawn, decoded = phases["rollout"]["cpu_s"], phases["decode"]["cpu_s"]
    return {"before the first step": usage.ru_utime + usage.ru_stime - drawn - decoded, "step": drawn / steps,
            "decode": decoded, "peak_mib": usage.ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=ROOT / "runs" / "sd35_tiled", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--peer", action="store_true", help="diffusers alone, one round, as JSON")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        make_model(folder)
        print(f"made {folder.name} in {time.monotonic() - begin:.0f} s", file=sys.stderr)
    if arguments.peer:
        print(json.dumps(diffusers_run(folder, arguments.steps)))
        return
    runs = {"first run": [], "later run": [], "diffusers": []}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as cache:
            runs["first run"].append(thalweg_run(folder, arguments.steps, cache))
            runs["later run"].append(thalweg_run(folder, arguments.steps, cache))
        command = [sys.executable, __file__, "--peer", "--folder", folder, "--steps", arguments.steps]
        out = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        runs["diffusers"].append(json.loads(out.stdout))
    for name, rows in runs.items():
        print(name, {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]})


if __name__ == "__main__":
    main()
