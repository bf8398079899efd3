"""The peer's loss of AWM has the value and the gradient of its closed form."""

import pathlib
import sys

import torch

sys.path[:0] = [str(pathlib.Path(__file__).parent)]

import peer_losses  # noqa: E402


def test_awm_weighs_the_matching_error_of_each_sample_by_its_advantage():
    random = torch.Generator().manual_seed(0)
    v = torch.randn(3, 2, 4, 4, generator=random, dtype=torch.float64, requires_grad=True)
    target = torch.randn(3, 2, 4, 4, generator=random, dtype=torch.float64)
    t, advantages, power = torch.tensor([0.9, 0.4, 0.2]), torch.tensor([2.5, -1.0, 20.0]), 0.25
    loss, error = peer_losses.awm(v, target, t, advantages, power, 1.0)
    loss.backward()
    in_unit = torch.tensor([0.5, -0.2, 1.0], dtype=torch.float64)  # clipped at 5, by 5
    l = ((v.detach() - target) ** 2).mean(dim=(1, 2, 3))
    assert torch.allclose(error, l.mean())
    assert torch.allclose(loss, -in_unit.mean())  # on policy the ratio is 1
    # d log p / d l = -t l^(p - 1), d l / d v = 2 (v - target) / 32, and the loss is -A log p but for a constant
    slope = in_unit * t.double() * (l + 1e-10) ** (power - 1) / 3
    assert torch.allclose(v.grad, slope.view(-1, 1, 1, 1) * 2 * (v.detach() - target) / 32)


def test_grpo_stops_where_the_ratio_has_gone_far_enough():
    log_prob = torch.tensor([0.2, -0.2, 0.2, -0.2], requires_grad=True)
    loss, ratio = peer_losses.grpo(log_prob, torch.zeros(4), torch.tensor([1.0, 1.0, -1.0, -1.0]), 0.1)
    loss.backward()
    e = torch.exp(torch.tensor(0.2))
    assert torch.allclose(ratio, torch.stack([e, 1 / e, e, 1 / e]).detach())
    assert torch.allclose(loss, (-1.1 - 1 / e + e + 0.9) / 4)
    assert torch.allclose(log_prob.grad, torch.tensor([0.0, -1 / e, e, 0.0]) / 4)
