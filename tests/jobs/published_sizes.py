"""Folders of published models' shapes: their configs, and weights that are holes in files: right in their headers, and
nothing to read."""

import json
import struct

SD3_MEDIUM = {"_class_name": "SD3Transformer2DModel", "sample_size": 128, "patch_size": 2, "in_channels": 16,
              "out_channels": 16, "num_layers": 24, "attention_head_dim": 64, "num_attention_heads": 24,
              "joint_attention_dim": 4096, "caption_projection_dim": 1536, "pooled_projection_dim": 2048,
              "pos_embed_max_size": 384, "dual_attention_layers": list(range(13)), "qk_norm": "rms_norm"}
PARAMETERS, POSITIONS = 2_243_171_520, 384 * 384 * 1536  # the table of positions is stored and not trained
VAE = {"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 16,
       "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32,
       "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
       "use_quant_conv": False, "use_post_quant_conv": False}
VAE_PARAMETERS = 83_819_683
FLUX_DEV = {"_class_name": "FluxTransformer2DModel", "patch_size": 1, "in_channels": 64, "num_layers": 19,
            "num_single_layers": 38, "attention_head_dim": 128, "num_attention_heads": 24, "joint_attention_dim": 4096,
            "pooled_projection_dim": 768, "guidance_embeds": True, "axes_dims_rope": [16, 56, 56]}
FLUX_PARAMETERS = 11_901_408_320
WAN_13B = {"_class_name": "WanTransformer3DModel", "patch_size": [1, 2, 2], "num_attention_heads": 12, "attention_head_dim": 128,
           "in_channels": 16, "out_channels": 16, "text_dim": 4096, "freq_dim": 256, "ffn_dim": 8960, "num_layers": 30,
           "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "eps": 1e-6, "rope_max_seq_len": 1024}
WAN_PARAMETERS = 1_418_996_800
WAN_VAE = {"_class_name": "AutoencoderKLWan", "base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
           "attn_scales": [], "temperal_downsample": [False, True, True], "dropout": 0.0, "latents_mean": [0.0] * 16,
           "latents_std": [2.0] * 16}
T5_XXL = {"model_type": "t5", "vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24,
          "num_heads": 64, "feed_forward_proj": "gated-gelu"}


def clip(width, layers, heads, projection):
    return {"model_type": "clip_text_model", "vocab_size": 49408, "max_position_embeddings": 77, "hidden_size": width,
            "intermediate_size": 4 * width, "projection_dim": projection, "num_hidden_layers": layers,
            "num_attention_heads": heads, "hidden_act": "gelu", "eos_token_id": 49407}


def component(folder, config, stem, parameters):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    header = json.dumps({"all": {"dtype": "F16", "shape": [parameters], "data_offsets": [0, 2 * parameters]}}).encode()
    with open(folder / f"{stem}.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 2 * parameters)


def make_sd35_medium(folder):
    """Stable Diffusion 3.5 Medium without T5."""
    component(folder / "transformer", SD3_MEDIUM, "diffusion_pytorch_model", PARAMETERS + POSITIONS)
    component(folder / "vae", {**VAE, "scaling_factor": 1.5305, "shift_factor": 0.0609}, "diffusion_pytorch_model", VAE_PARAMETERS)
    component(folder / "text_encoder", clip(768, 12, 12, 768), "model", 123_650_304)
    component(folder / "text_encoder_2", clip(1280, 32, 20, 1280), "model", 694_659_840)
    finish(folder, "StableDiffusion3Pipeline", {"shift": 3.0},
           {"transformer": ["diffusers", "SD3Transformer2DModel"], "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"], "text_encoder_3": [None, None]})
    return folder


def make_flux_dev(folder):
    """FLUX.1-dev."""
    component(folder / "transformer", FLUX_DEV, "diffusion_pytorch_model", FLUX_PARAMETERS)
    component(folder / "vae", {**VAE, "scaling_factor": 0.3611, "shift_factor": 0.1159}, "diffusion_pytorch_model", VAE_PARAMETERS)
    component(folder / "text_encoder", clip(768, 12, 12, 768), "model", 123_060_480)
    component(folder / "text_encoder_2", T5_XXL, "model", 4_762_310_656)
    finish(folder, "FluxPipeline", {"use_dynamic_shifting": True, "shift": 3.0},
           {"transformer": ["diffusers", "FluxTransformer2DModel"], "text_encoder": ["transformers", "CLIPTextModel"],
            "text_encoder_2": ["transformers", "T5EncoderModel"]})
    return folder


def make_wan_13b(folder):
    """Wan 2.1 T2V 1.3B."""
    component(folder / "transformer", WAN_13B, "diffusion_pytorch_model", WAN_PARAMETERS)
    component(folder / "vae", WAN_VAE, "diffusion_pytorch_model", 126_892_531)
    component(folder / "text_encoder", {**T5_XXL, "model_type": "umt5", "vocab_size": 256384}, "model", 5_680_910_336)
    finish(folder, "WanPipeline", {"shift": 3.0},
           {"transformer": ["diffusers", "WanTransformer3DModel"], "vae": ["diffusers", "AutoencoderKLWan"],
            "text_encoder": ["transformers", "UMT5EncoderModel"]})
    return folder


def finish(folder, pipeline, scheduler, components):
    (folder / "scheduler").mkdir()
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, **scheduler}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    index = {"_class_name": pipeline, "vae": ["diffusers", "AutoencoderKL"], **components}
    (folder / "model_index.json").write_text(json.dumps(index))
