"""Time by phase and peak memory of flow_grpo iterations at Stable Diffusion 3.5 medium's full size on a GPU.

    python tests/bench/gpu_sd35.py [--program build/cuda/thalweg] [--folder runs/sd35_random]

Needs the tests' Python packages (`cmake/setup.sh --tests`), 12 GB of disk and a GPU. The weights are random: speed and
memory do not depend on their values. The first run makes the model; the job is tests/bench/jobs/gpu_sd35.json (512 px,
group of 8, LoRA, activation checkpointing, bfloat16). `--size small --device cpu` runs the same with a model of a few
thousand parameters, as a test of this file.
"""
import argparse
import json
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
JOB = ROOT / "tests" / "bench" / "jobs" / "gpu_sd35.json"

# Configs of the published model; the third text encoder is left out, as with text_encoder_3=None.
FULL = {
    "transformer": dict(sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=24,
                        attention_head_dim=64, num_attention_heads=24, joint_attention_dim=4096,
                        caption_projection_dim=1536, pooled_projection_dim=2048, pos_embed_max_size=384,
                        dual_attention_layers=tuple(range(13)), qk_norm="rms_norm"),
    "vae": dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=16, norm_num_groups=32,
                sample_size=1024),
    "text_encoder": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                         projection_dim=768, hidden_act="quick_gelu"),
    "text_encoder_2": dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                           projection_dim=1280, hidden_act="gelu"),
    "tokens": 77,
}
SMALL = {
    "transformer": dict(sample_size=16, patch_size=2, in_channels=16, out_channels=16, num_layers=2,
                        attention_head_dim=8, num_attention_heads=2, joint_attention_dim=40, caption_projection_dim=16,
                        pooled_projection_dim=24, pos_embed_max_size=24, dual_attention_layers=(0,),
                        qk_norm="rms_norm"),
    "vae": dict(block_out_channels=(8, 8, 8, 8), layers_per_block=1, latent_channels=16, norm_num_groups=4,
                sample_size=64),
    "text_encoder": dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                         projection_dim=8, hidden_act="quick_gelu"),
    "text_encoder_2": dict(hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                           projection_dim=16, hidden_act="gelu"),
    "tokens": 16,
}


def copy_tokenizers(folder, tokens):
    """Those of the embedded model: any vocabulary will do, the number of tokens a prompt is the real one."""
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(ROOT / "assets" / "models" / "tiny-sd3" / name, folder / name)
        path = folder / name / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": tokens}))


def make_model(folder, sizes):
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    SD3Transformer2DModel(**sizes["transformer"]).save_pretrained(partial / "transformer")
    AutoencoderKL(in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4,
                  up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=1.5305, shift_factor=0.0609,
                  use_quant_conv=False, use_post_quant_conv=False, **sizes["vae"]).save_pretrained(partial / "vae")
    for name in ("text_encoder", "text_encoder_2"):
        config = CLIPTextConfig(vocab_size=577, max_position_embeddings=sizes["tokens"], bos_token_id=575,
                                eos_token_id=576, pad_token_id=576, **sizes[name])
        CLIPTextModelWithProjection(config).save_pretrained(partial / name)
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(partial / "scheduler")
    copy_tokenizers(partial, sizes["tokens"])
    shutil.copy(ROOT / "assets" / "models" / "tiny-sd3" / "model_index.json", partial)
    partial.rename(folder)


def run_job(arguments, folder):
    settings = {"/model/path": folder / "model", "/prompts/train": folder / "train.txt",
                "/prompts/select": folder / "held_out.txt", "/prompts/eval": folder / "held_out.txt"}
    if arguments.size == "small":
        settings.update({"/sampler/height": 64, "/sampler/width": 64, "/sampler/steps": 2, "/iterations": 2})
    output = folder / "run"
    shutil.rmtree(output, ignore_errors=True)
    command = [arguments.program, "run", JOB, "--device", arguments.device, "--output", output]
    for pointer, value in settings.items():
        command += ["--set", f"{pointer}={value}"]
    subprocess.run([str(word) for word in command], check=True, cwd=ROOT)
    return output


def figures(output):
    result = json.loads((output / "result.json").read_text())
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    ends = [row["time_s"] for row in rows if row["kind"] == "train"]
    # The first iteration also begins the libraries' own work; the others are what a run is made of.
    iterations = [later - earlier for earlier, later in zip(ends, ends[1:])]
    return {"iterations_after_the_first_s": iterations, "iterations": len(ends),
            "phases_of_all_iterations": result["time_phases"], "peak_memory_bytes": result["memory_peak_bytes"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "build" / "cuda" / "thalweg")
    parser.add_argument("--folder", default=ROOT / "runs" / "sd35_random", type=pathlib.Path)
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.txt").write_text("a red circle\na blue square\na green triangle\n")
    (folder / "held_out.txt").write_text("a yellow circle\n")
    if not (folder / "model").exists():
        make_model(folder / "model", FULL if arguments.size == "full" else SMALL)
    print(json.dumps(figures(run_job(arguments, folder)), indent=2))


if __name__ == "__main__":
    main()
