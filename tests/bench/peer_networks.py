"""What the peer knows of a model family: how it is opened, told a prompt, called, and its latents shaped. Latents have four
dimensions, so that the losses are the same for all; FLUX.1's are packed, as its trainers keep them: [B, 1, tokens, 4 channels]."""

import json
import pathlib

import numpy as np
import torch
from diffusers import FluxPipeline, StableDiffusion3Pipeline

JOINT = ["attn.add_k_proj", "attn.add_q_proj", "attn.add_v_proj", "attn.to_add_out", "attn.to_k", "attn.to_out.0",
         "attn.to_q", "attn.to_v"]


class Sd3:
    targets = JOINT

    def __init__(self, job):
        self.length = job["model"]["max_sequence_length"]
        self.size = job["sampler"]["height"], job["sampler"]["width"]
        self.pipe = self.opened(job["model"]["path"])
        self.pipe.set_progress_bar_config(disable=True)

    def opened(self, path):
        return StableDiffusion3Pipeline.from_pretrained(path, text_encoder_3=None, tokenizer_3=None)

    def encoded(self, prompts):
        embeds, _, pooled, _ = self.pipe.encode_prompt(prompts, None, None, do_classifier_free_guidance=False,
                                                       max_sequence_length=self.length)
        return embeds, pooled

    def set_steps(self, steps):
        self.pipe.scheduler.set_timesteps(steps)

    def noise(self, count):
        factor = self.pipe.vae_scale_factor
        return torch.randn(count, self.pipe.transformer.config.in_channels, self.size[0] // factor, self.size[1] // factor)

    def velocity(self, forward, x, timestep_B, embeds, pooled):
        return forward(hidden_states=x, timestep=timestep_B, encoder_hidden_states=embeds, pooled_projections=pooled,
                       return_dict=False)[0]

    def pictures(self, x):
        """Latents as the decoder takes them, but for scale and shift."""
        return x


class Flux(Sd3):
    targets = [*JOINT, "ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"]

    def __init__(self, job):
        super().__init__(job)
        self.guidance = job["model"].get("embedded_guidance", 3.5)
        unit = 2 * self.pipe.vae_scale_factor
        self.rows, self.columns = self.size[0] // unit, self.size[1] // unit
        self.image_ids = self.pipe._prepare_latent_image_ids(1, self.rows, self.columns, "cpu", torch.float32)

    def opened(self, path):
        return FluxPipeline.from_pretrained(path)

    def encoded(self, prompts):
        embeds, pooled, self.text_ids = self.pipe.encode_prompt(prompts, None, max_sequence_length=self.length)
        return embeds, pooled

    def set_steps(self, steps):
        c = self.pipe.scheduler.config
        slope = (c.max_shift - c.base_shift) / (c.max_image_seq_len - c.base_image_seq_len)
        mu = c.base_shift + slope * (self.rows * self.columns - c.base_image_seq_len)
        self.pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)

    def noise(self, count):
        return torch.randn(count, 1, self.rows * self.columns, self.pipe.transformer.config.in_channels)

    def velocity(self, forward, x, timestep_B, embeds, pooled):
        v = forward(hidden_states=x[:, 0], timestep=timestep_B / 1000, guidance=torch.full_like(timestep_B, self.guidance),
                    encoder_hidden_states=embeds, pooled_projections=pooled, txt_ids=self.text_ids, img_ids=self.image_ids,
                    return_dict=False)[0]
        return v[:, None]

    def pictures(self, x):
        channels = x.shape[-1] // 4
        return x.view(-1, self.rows, self.columns, channels, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(
            -1, channels, 2 * self.rows, 2 * self.columns)


def network_of(job):
    index = json.loads((pathlib.Path(job["model"]["path"]) / "model_index.json").read_text())
    return {"StableDiffusion3Pipeline": Sd3, "FluxPipeline": Flux}[index["_class_name"]](job)
