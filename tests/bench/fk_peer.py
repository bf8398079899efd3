"""FK steering as users write it in Python today: diffusers, float32 weights under bf16 autocast, particles of several prompts
in one batch, rewards of the decoded clean estimate at every resampling.

    fk_peer.py JOB.json LATENTS.safetensors THREADS     prints one JSON object"""

import json
import resource
import sys
import time
import warnings

import numpy as np
import torch
from diffusers import StableDiffusion3Pipeline
from safetensors.torch import load_file

import scene_reward

warnings.filterwarnings("ignore")


@torch.no_grad()
def steer(pipe, job, prompts, x):
    """x: the initial noise of all particles, those of a prompt in a row. One sample a prompt."""
    fk, sampler, scheduler = job["steering"][0], job["sampler"], pipe.scheduler
    particles = fk["particles"]
    rows = [prompt for prompt in prompts for _ in range(particles)]
    embeds, _, pooled, _ = pipe.encode_prompt(prompts, None, None, do_classifier_free_guidance=False,
                                              max_sequence_length=job["model"]["max_sequence_length"])
    embeds, pooled = embeds.repeat_interleave(particles, 0), pooled.repeat_interleave(particles, 0)

    def score(x0):
        raw = x0 / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
        frames = (pipe.vae.decode(raw.to(pipe.vae.dtype), return_dict=False)[0].float() / 2 + .5).clamp(0, 1)
        return torch.from_numpy(scene_reward.rewards(frames.numpy(), rows))

    scheduler.set_timesteps(sampler["steps"])
    log_weights, previous = torch.zeros(len(rows), dtype=torch.float64), torch.zeros(len(rows), dtype=torch.float64)
    for i, t in enumerate(scheduler.timesteps):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            v = pipe.transformer(hidden_states=x, timestep=t.expand(len(rows)), encoder_hidden_states=embeds,
                                 pooled_projections=pooled, return_dict=False)[0].float()
        sigma, following = scheduler.sigmas[i], scheduler.sigmas[i + 1]
        if i and i % fk["interval"] == 0:
            rewards = score(x - sigma * v)
            log_weights += fk["lambda"] * (rewards - previous)
            weights = torch.softmax(log_weights.view(-1, particles), 1)
            index = torch.multinomial(weights, particles, replacement=True)
            index = (index + particles * torch.arange(len(prompts)).unsqueeze(1)).flatten()
            x, v, previous = x[index], v[index], rewards[index]
            log_weights.zero_()
        dt = following - sigma
        g2 = sampler["noise_level"] ** 2 * sigma / (1 - (scheduler.sigmas[1] if i == 0 else sigma))
        mean = x * (1 + g2 / (2 * sigma) * dt) + v * (1 + g2 * (1 - sigma) / (2 * sigma)) * dt
        x = mean + torch.sqrt(g2 * -dt) * torch.randn_like(mean)
    rewards = score(x)
    log_weights += fk["lambda"] * (rewards - previous)
    chosen = torch.multinomial(torch.softmax(log_weights.view(-1, particles), 1), 1).squeeze(1)
    return rewards.view(-1, particles)[torch.arange(len(prompts)), chosen]


def main():
    job, latents, threads = json.load(open(sys.argv[1])), load_file(sys.argv[2])["latents"], int(sys.argv[3])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    pipe = StableDiffusion3Pipeline.from_pretrained(job["model"]["path"], text_encoder_3=None, tokenizer_3=None)
    pipe.vae.to(torch.bfloat16)
    prompts = open(job["prompts"]["path"]).read().splitlines()[:job["prompts"]["limit"]]
    particles = job["steering"][0]["particles"]
    at_once = max(1, job["parallel"]["micro_batch"] // particles)
    parts = [(prompts[i:i + at_once], latents[i * particles:(i + at_once) * particles])
             for i in range(0, len(prompts), at_once)]
    steer(pipe, job, *parts[0])  # warm
    wall, cpu = time.perf_counter(), time.process_time()
    rewards = torch.cat([steer(pipe, job, *part) for part in parts])
    print(json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu,
                      "rewards": rewards.tolist(), "samples": len(prompts),
                      "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
