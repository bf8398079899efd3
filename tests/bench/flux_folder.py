"""A FLUX.1 pipeline of the embedded model's size with random weights, for timing: its VAE and tokenizer, a CLIP and a T5 as
small as its text encoders.

    python tests/bench/flux_folder.py FOLDER"""

import pathlib
import sys

import diffusers
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ROOT / "assets/models/tiny-sd3"
sys.path.insert(0, str(ROOT / "tests/reference"))

import t5_tokenizer_parity  # noqa: E402


def make(folder):
    torch.manual_seed(0)
    width = dict(attention_head_dim=64, num_attention_heads=2, joint_attention_dim=128, pooled_projection_dim=96)
    transformer = diffusers.FluxTransformer2DModel(patch_size=1, in_channels=16, num_layers=3, num_single_layers=4,
                                                   guidance_embeds=True, axes_dims_rope=(16, 24, 24), **width)
    with torch.no_grad():
        for parameter in transformer.parameters():  # a fresh one's gates are 0: nothing would be learned
            parameter.copy_(torch.randn_like(parameter) * (0.02 if parameter.ndim > 1 else 0.1))
    clip_config = transformers.CLIPTextConfig.from_pretrained(TINY / "text_encoder")
    t5_config = transformers.T5Config(vocab_size=800, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4,
                                      feed_forward_proj="gated-gelu")
    sources = pathlib.Path(f"{folder}-t5")
    t5_tokenizer_parity.write(sources, spiece__model=t5_tokenizer_parity.train(0))
    diffusers.FluxPipeline(
        transformer=transformer, vae=diffusers.AutoencoderKL.from_pretrained(TINY / "vae"),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        text_encoder=transformers.CLIPTextModel(clip_config), tokenizer=transformers.CLIPTokenizer.from_pretrained(TINY / "tokenizer"),
        text_encoder_2=transformers.T5EncoderModel(t5_config),
        tokenizer_2=transformers.T5Tokenizer.from_pretrained(sources)).save_pretrained(folder)


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
