"""What the peer knows of a model family: how it is opened, told a prompt, called, and its latents shaped. Latents have four
dimensions, so that the losses are the same for all; FLUX.1's are packed, as its trainers keep them: [B, 1, tokens, 4 channels];
Wan's frames lie one below the other: [B, channels, frames * rows, columns]. `text` is a dict that holds, among others, what
`encoded` gives."""

import json
import pathlib

import numpy as np
import torch
from diffusers import FluxPipeline, StableDiffusion3Pipeline, WanPipeline

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
        return {"embeds": embeds, "pooled": pooled}

    def set_steps(self, steps):
        self.pipe.scheduler.set_timesteps(steps)

    def noise(self, count):
        factor = self.pipe.vae_scale_factor
        return torch.randn(count, self.pipe.transformer.config.in_channels, self.size[0] // factor, self.size[1] // factor)

    def velocity(self, forward, x, timestep_B, text):
        return forward(hidden_states=x, timestep=timestep_B, encoder_hidden_states=text["embeds"],
                       pooled_projections=text["pooled"], return_dict=False)[0]

    def unscaled(self, x):
        """Latents as the decoder takes them."""
        return x / self.pipe.vae.config.scaling_factor + self.pipe.vae.config.shift_factor


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
        return {"embeds": embeds, "pooled": pooled}

    def set_steps(self, steps):
        c = self.pipe.scheduler.config
        slope = (c.max_shift - c.base_shift) / (c.max_image_seq_len - c.base_image_seq_len)
        mu = c.base_shift + slope * (self.rows * self.columns - c.base_image_seq_len)
        self.pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)

    def noise(self, count):
        return torch.randn(count, 1, self.rows * self.columns, self.pipe.transformer.config.in_channels)

    def velocity(self, forward, x, timestep_B, text):
        v = forward(hidden_states=x[:, 0], timestep=timestep_B / 1000, guidance=torch.full_like(timestep_B, self.guidance),
                    encoder_hidden_states=text["embeds"], pooled_projections=text["pooled"], txt_ids=self.text_ids,
                    img_ids=self.image_ids, return_dict=False)[0]
        return v[:, None]

    def unscaled(self, x):
        channels = x.shape[-1] // 4
        return super().unscaled(x.view(-1, self.rows, self.columns, channels, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(
            -1, channels, 2 * self.rows, 2 * self.columns))


class Wan(Sd3):
    targets = ["to_q", "to_k", "to_v", "to_out.0"]  # of both attentions

    def __init__(self, job):
        super().__init__(job)
        config = self.pipe.vae.config
        self.frames = (job["sampler"]["frames"] - 1) // config.scale_factor_temporal + 1
        self.mean, self.std = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (config.latents_mean, config.latents_std))

    def opened(self, path):
        return WanPipeline.from_pretrained(path)

    def encoded(self, prompts):
        embeds, _ = self.pipe.encode_prompt(prompts, do_classifier_free_guidance=False, max_sequence_length=self.length)
        return {"embeds": embeds}

    def noise(self, count):
        rows, columns = (side // self.pipe.vae_scale_factor_spatial for side in self.size)
        return torch.randn(count, self.pipe.transformer.config.in_channels, self.frames * rows, columns)

    def velocity(self, forward, x, timestep_B, text):
        v = forward(hidden_states=x.unflatten(2, (self.frames, -1)), timestep=timestep_B,
                    encoder_hidden_states=text["embeds"], return_dict=False)[0]
        return v.flatten(2, 3)

    def unscaled(self, x):
        return x.unflatten(2, (self.frames, -1)) * self.std + self.mean


def network_of(job):
    index = json.loads((pathlib.Path(job["model"]["path"]) / "model_index.json").read_text())
    return {"StableDiffusion3Pipeline": Sd3, "FluxPipeline": Flux, "WanPipeline": Wan}[index["_class_name"]](job)
