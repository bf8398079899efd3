"""Small FLUX.1 pipelines with random weights, saved by diffusers and transformers themselves."""

import diffusers
import transformers
from diffusers import FluxPipeline

import tiny_sd3
from random_weights import randomise
from tokenizer_parity import EOS

DYNAMIC = dict(use_dynamic_shifting=True, shift=3.0, base_shift=0.5, max_shift=1.15, base_image_seq_len=16,
               max_image_seq_len=400)


def make_transformer(seed, **changes):
    config = dict(patch_size=1, in_channels=16, num_layers=1, num_single_layers=2, attention_head_dim=16,
                  num_attention_heads=2, joint_attention_dim=24, pooled_projection_dim=20, guidance_embeds=True,
                  axes_dims_rope=(4, 4, 8))
    return randomise(diffusers.FluxTransformer2DModel(**{**config, **changes}), seed)


def clip_encoder(seed, width):
    projected = tiny_sd3.text_encoder(seed, width, heads=2, layers=2, projection=4)
    model = transformers.CLIPTextModel(projected.config)
    model.load_state_dict({name: tensor for name, tensor in projected.state_dict().items() if "projection" not in name})
    return model.eval()


def make_folder(folder, *, transformer=None, vae=None, t5=None, scheduler=None, tokenizer="json", seed=0):
    sources = folder.parent / f"{folder.name}-tokenizers"
    sources.mkdir()
    tiny_sd3.make_tokenizer(sources / "clip", tokenizer, EOS)
    network = make_transformer(seed, **(transformer or {}))
    channels = network.config.in_channels // 4
    pipe = FluxPipeline(
        transformer=network, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**(scheduler or DYNAMIC)),
        vae=tiny_sd3.make_vae(seed + 1, latent_channels=channels, scaling_factor=0.3611, shift_factor=0.1159,
                              **(vae or {})),
        text_encoder=clip_encoder(seed + 2, network.config.pooled_projection_dim),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(sources / "clip"),
        text_encoder_2=tiny_sd3.t5_encoder(seed + 3, network.config.joint_attention_dim, **(t5 or {})),
        tokenizer_2=tiny_sd3.t5_tokenizer(sources / "t5"))
    pipe.save_pretrained(folder, safe_serialization=True)
    return load(folder)


def load(folder):
    pipe = FluxPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe
