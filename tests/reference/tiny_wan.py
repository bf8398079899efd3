"""Small Wan pipelines with random weights, saved by diffusers and transformers themselves."""

import diffusers
import torch
from diffusers import WanPipeline

import tiny_sd3
from random_weights import randomise

TRANSFORMER = dict(patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4,
                   text_dim=16, freq_dim=16, ffn_dim=32, num_layers=2, cross_attn_norm=True,
                   qk_norm="rms_norm_across_heads", rope_max_seq_len=32)
VAE = dict(base_dim=4, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=1, temperal_downsample=[True, True])


def make_transformer(seed, **changes):
    model = randomise(diffusers.WanTransformer3DModel(**{**TRANSFORMER, **changes}), seed)
    with torch.no_grad():  # tables are added, not multiplied by
        for key, parameter in model.named_parameters():
            if key.endswith("scale_shift_table"):
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(key))))
    return model


def make_vae(seed, **changes):
    config = {**VAE, **changes}
    generator = torch.Generator().manual_seed(seed)
    config.setdefault("scale_factor_spatial", 2 ** (len(config["dim_mult"]) - 1))
    config.setdefault("latents_mean", torch.randn(config["z_dim"], generator=generator).tolist())
    config.setdefault("latents_std", (0.5 + torch.rand(config["z_dim"], generator=generator)).tolist())
    vae = randomise(diffusers.AutoencoderKLWan(**config), seed)
    with torch.no_grad():
        for key, parameter in vae.named_parameters():
            if key.endswith("gamma"):
                parameter.copy_(1 + 0.1 * torch.randn(parameter.shape, generator=generator))
        vae.decoder.conv_out.weight.mul_(0.3)  # most of a frame inside of [-1,1], beyond which errors vanish
    return vae


def make_folder(folder, *, transformer=None, vae=None, text=None, scheduler=None, seed=0):
    """Saves a pipeline and returns it as diffusers loads it."""
    sources = folder.parent / f"{folder.name}-tokenizers"
    sources.mkdir()
    transformer = make_transformer(seed, **(transformer or {}))
    pipe = WanPipeline(
        transformer=transformer, vae=make_vae(seed + 1, **(vae or {})),
        text_encoder=tiny_sd3.t5_encoder(seed + 2, transformer.config.text_dim, "UMT5", **(text or {})),
        tokenizer=tiny_sd3.t5_tokenizer(sources / "umt5"),
        scheduler=scheduler or diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    pipe.save_pretrained(folder, safe_serialization=True)
    return load(folder)


def load(folder):
    pipe = WanPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe
