"""What users run today, for the speed comparison: diffusers + peft, written as the trainers of flow_grpo, DiffusionNFT and
AWM are (float32 weights under bf16 autocast, LoRA adapters, one batch of samples after the other, scheduler-driven SDE step).

    peer.py JOB.json {eager|compiled} ITERATIONS WARMUP THREADS     prints one JSON object

JOB.json is the job that Thalweg runs; its keys are read here by hand. WARMUP iterations are not counted: they hold the
compilation."""

import json
import resource
import sys
import time
import warnings
from collections import defaultdict
from contextlib import contextmanager

import numpy as np
import torch
from peft import LoraConfig, get_peft_model

import peer_losses
import scene_reward
from peer_networks import network_of

warnings.filterwarnings("ignore")

# By plugin: the score of each sample, given pictures [B,3,H,W] or videos [B,3,F,H,W], and prompts.
REWARDS = {"scene": lambda frames, prompts: torch.from_numpy(scene_reward.rewards(frames.numpy(), prompts)),
           "temporal": lambda frames, _: 1 - frames.diff(dim=2).abs().mean(dim=(1, 2, 3, 4))}  # temporal_flickering


class PhaseClock:
    def __init__(self):
        self.seconds = defaultdict(lambda: np.zeros(2))

    @contextmanager
    def __call__(self, phase):
        start = np.array([time.perf_counter(), time.process_time()])
        yield
        self.seconds[phase] += np.array([time.perf_counter(), time.process_time()]) - start


class Peer:
    def __init__(self, job, compiled):
        self.job, self.method, self.sampler = job, job["method"], job["sampler"]
        start = time.perf_counter(), time.process_time()
        self.network = network_of(job)
        self.load = time.perf_counter() - start[0], time.process_time() - start[1]
        self.pipe = self.network.pipe
        for part in self.pipe.components.values():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False)
        self.pipe.vae.to(torch.bfloat16)
        lora = job["model"]["lora"]
        config = LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], target_modules=self.network.targets)
        self.transformer = get_peft_model(self.pipe.transformer, config)
        if self.method["name"] != "flow_grpo":  # NFT's old policy, AWM's average
            self.transformer.add_adapter("old", config)
            self.transformer.set_adapter("default")
        self.trained = [p for n, p in self.transformer.named_parameters() if ".old." not in n and "lora_" in n]
        self.old = [p for n, p in self.transformer.named_parameters() if ".old." in n]
        for p in self.trained:
            p.requires_grad_(True)
        with torch.no_grad():
            for p, q in zip(self.old, self.trained):
                p.copy_(q)
        self.optimizer = torch.optim.AdamW(self.trained, lr=job["optimizer"]["learning_rate"], weight_decay=1e-4)
        self.decode = self.pipe.vae.decode
        self.forward = self.transformer
        if compiled:
            self.forward = torch.compile(self.transformer)
            self.decode = torch.compile(self.pipe.vae.decode)
        self.prompts = open(job["prompts"]["train"]).read().splitlines()
        self.size, self.micro_batch = self.method["group_size"], job["parallel"]["micro_batch"]
        self.score = REWARDS[job["rewards"][0]["plugin"]]
        self.clock, self.random = PhaseClock(), np.random.default_rng(0)

    def velocity(self, x, timestep_B, text):
        return self.network.velocity(self.forward, x, timestep_B, text)

    def adapter(self, name):
        if self.old:
            self.transformer.set_adapter(name)
            for p in self.old:
                p.requires_grad_(False)
            for p in self.trained:
                p.requires_grad_(True)

    @torch.no_grad()
    def rollout(self, prompts):
        scheduler = self.pipe.scheduler
        with self.clock("rollout"):
            text = self.network.encoded(prompts)
            self.network.set_steps(self.sampler["steps"])
            x = self.network.noise(len(prompts))
            latents, log_probs = [x], []
            with torch.autocast("cpu", dtype=torch.bfloat16):
                for i, t in enumerate(scheduler.timesteps):
                    v = self.velocity(x, t.expand(len(prompts)), text).float()
                    if self.sampler["name"] == "flow_sde":
                        x, log_prob = peer_losses.sde_step(scheduler, v, t.unsqueeze(0), x, self.sampler["noise_level"])
                        log_probs.append(log_prob)
                    else:
                        x = x + v * (scheduler.sigmas[i + 1] - scheduler.sigmas[i])
                    latents.append(x)
        with self.clock("decode"):
            raw = self.network.unscaled(x)
            frames = (self.decode(raw.to(self.pipe.vae.dtype), return_dict=False)[0].float() / 2 + .5).clamp(0, 1)
        with self.clock("reward"):
            rewards = self.score(frames, prompts)
        sample = {**text, "latents": torch.stack(latents, 1), "rewards": rewards,
                  "timesteps": scheduler.timesteps.repeat(len(prompts), 1)}
        return {**sample, "log_probs": torch.stack(log_probs, 1)} if log_probs else sample

    def collect(self):
        drawn = self.random.choice(self.prompts, self.method["prompts_per_iteration"])
        rows = [prompt for prompt in drawn for _ in range(self.size)]
        parts = [self.rollout(list(map(str, rows[i:i + self.micro_batch]))) for i in range(0, len(rows), self.micro_batch)]
        samples = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        groups = samples["rewards"].view(-1, self.size)
        samples["advantages"] = ((groups - groups.mean(1, keepdim=True)) / (groups.std() + 1e-4)).flatten().float()
        self.reward = float(groups.mean())
        return samples

    def grpo_loss(self, batch, step):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            v = self.velocity(batch["latents"][:, step], batch["timesteps"][:, step], batch)
        _, log_prob = peer_losses.sde_step(
            self.pipe.scheduler, v.float(), batch["timesteps"][:, step], batch["latents"][:, step],
            self.sampler["noise_level"], following=batch["latents"][:, step + 1])
        clip, old = self.method["clip_range"], batch["log_probs"][:, step]
        loss, ratio = peer_losses.grpo(log_prob, old, batch["advantages"].clamp(-5, 5), clip)
        self.note(approx_kl=.5 * ((log_prob - old) ** 2).mean(), clipfrac=((ratio - 1).abs() > clip).float().mean())
        return loss

    def noised(self, batch, step):
        """Clean latents, noise, its level and the noisy latents; there the velocities that lags, is trained, is the base's."""
        x0, timestep_B = batch["latents"][:, -1], batch["times"][:, step]
        t, noise = (timestep_B / 1000).view(-1, 1, 1, 1), torch.randn_like(x0)
        x = (1 - t) * x0 + t * noise
        call = (x, timestep_B, batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self.adapter("old")
            with torch.no_grad():
                old = self.velocity(*call).float()
            self.adapter("default")
            v = self.velocity(*call).float()
            with torch.no_grad(), self.transformer.disable_adapter():
                reference = self.velocity(*call).float()
            self.adapter("default")
        return x0, noise, t, x, old, v, reference

    def nft_loss(self, batch, step):
        x0, _, t, x, old, v, reference = self.noised(batch, step)
        loss = peer_losses.nft(x0, t, x, old, v, batch["advantages"], self.method["beta"])
        self.note(old_deviate=((v - old) ** 2).mean(), policy_loss=loss)
        return loss + self.method["kl_beta"] * ((v - reference) ** 2).mean(dim=(1, 2, 3)).mean()

    def awm_loss(self, batch, step):
        x0, noise, t, _, average, v, reference = self.noised(batch, step)
        loss, matching = peer_losses.awm(v, noise - x0, t.flatten(), batch["advantages"],
                                         self.method["weighting"]["power"], self.method["clip_range"])
        ema_kl, kl = ((v - average) ** 2).mean(), ((v - reference) ** 2).mean()
        self.note(matching_loss=matching, policy_loss=loss, ema_kl_loss=ema_kl, kl_loss=kl)
        return loss + self.method["ema_kl_beta"] * ema_kl + self.method["kl_beta"] * kl

    def times(self, timesteps):
        """At which each sample is noised again: NFT's in any order, AWM's one in each part of its steps."""
        count, steps = timesteps.shape
        if self.method["name"] == "awm":
            first, parts = self.method["first_step"], self.method["times_per_sample"]
            width = (int(self.method["last_share"] * steps) - first) / parts
            index = first + ((torch.arange(parts) + torch.rand(count, parts)) * width).long()
        else:
            index = torch.stack([torch.randperm(steps) for _ in range(count)])
        return timesteps.gather(1, index)

    def lag(self, iteration):
        """How far the adapter that lags follows the trained one."""
        if self.method["name"] == "awm":
            return 1 - min(self.method["ema"]["rate"] * (iteration + 1), self.method["ema"]["maximum"])
        return .98

    def note(self, **values):
        for key, value in values.items():
            self.info[key].append(value.detach())

    def iterate(self, iteration):
        name = self.method["name"]
        self.adapter("old" if name == "diffusion_nft" else "default")
        samples = self.collect()
        self.adapter("default")
        count = len(samples["rewards"])
        order = torch.randperm(count)
        steps = self.sampler["window"]["size"] if name == "flow_grpo" else self.method["times_per_sample"]
        loss_of = {"flow_grpo": self.grpo_loss, "diffusion_nft": self.nft_loss, "awm": self.awm_loss}[name]
        samples["times"] = self.times(samples["timesteps"])
        batches = order.split(self.micro_batch)
        share = len(batches) // self.method["updates"]
        self.info = defaultdict(list)
        for i, rows in enumerate(batches):
            batch = {key: value[rows] for key, value in samples.items()}
            for step in range(steps):
                with self.clock("train"):
                    (loss_of(batch, step) / (share * steps)).backward()
            if (i + 1) % share == 0:
                with self.clock("optimizer"):
                    torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
                    self.optimizer.step()
                    self.optimizer.zero_grad()
        if self.old:
            with torch.no_grad():
                for p, q in zip(self.old, self.trained):
                    p.lerp_(q.detach(), self.lag(iteration))


def main():
    path, mode, iterations, warmup, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    peer = Peer(json.load(open(path)), mode == "compiled")
    rows, rewards, losses = [], [], []
    for i in range(warmup + iterations):
        peer.clock = PhaseClock()
        with peer.clock("iteration"):
            peer.iterate(i)
        rewards.append(peer.reward)
        losses.append({key: float(torch.stack(values).mean()) for key, values in peer.info.items()})
        if i >= warmup:
            rows.append({phase: list(seconds) for phase, seconds in peer.clock.seconds.items()})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"mode": mode, "load": peer.load, "peak_mib": peak, "iterations": rows, "rewards": rewards,
                      "losses": losses}))


main()
