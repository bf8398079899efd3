"""The peer's mathematics: Flow-GRPO's step, and the policy losses of its methods, batch means. Advantages are normalised;
NFT and AWM clip them at 5."""

import math

import torch


def sde_step(scheduler, velocity, timestep_B, x, noise_level, following=None):
    """Flow-GRPO's step and the mean log-probability of where it leads."""
    index = [scheduler.index_for_timestep(t) for t in timestep_B]
    sigma = scheduler.sigmas[index].view(-1, 1, 1, 1)
    dt = scheduler.sigmas[[i + 1 for i in index]].view(-1, 1, 1, 1) - sigma
    std = torch.sqrt(sigma / (1 - torch.where(sigma == 1, scheduler.sigmas[1], sigma))) * noise_level
    mean = x * (1 + std**2 / (2 * sigma) * dt) + velocity * (1 + std**2 * (1 - sigma) / (2 * sigma)) * dt
    scale = std * torch.sqrt(-dt)
    if following is None:
        following = mean + scale * torch.randn_like(mean)
    log_prob = (-((following.detach() - mean) ** 2) / (2 * scale**2) - torch.log(scale)
                - math.log(math.sqrt(2 * math.pi)))
    return following, log_prob.mean(dim=(1, 2, 3))


def grpo(log_prob, old, advantages, clip):
    """The clipped loss and the ratio."""
    ratio = torch.exp(log_prob - old)
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)).mean(), ratio


def nft(x0, t, x, old, v, advantages, beta):
    r = (advantages.clamp(-5, 5) / 5 / 2 + .5).clamp(0, 1)

    def matching(prediction):
        error = x - t * prediction - x0
        with torch.no_grad():
            weight = error.double().abs().mean(dim=(1, 2, 3), keepdim=True).clip(min=1e-5)
        return (error**2 / weight).mean(dim=(1, 2, 3))

    positive, negative = matching(beta * v + (1 - beta) * old), matching((1 + beta) * old - beta * v)
    return (5 * (r * positive + (1 - r) * negative) / beta).mean()


def awm(v, target, t, advantages, power, clip):
    """On policy, with the weighting "ghuber"; and the mean matching error."""
    eps, error = 1e-10, ((v - target) ** 2).mean(dim=(1, 2, 3)).double()
    log_prob = -t / power * ((error + eps) ** power - eps**power)
    loss, _ = grpo(log_prob, log_prob.detach(), advantages.clamp(-5, 5) / 5, clip)
    return loss, error.mean()
