"""Random weights for a diffusers or transformers module, scaled so that its outputs stay near 1."""

import torch


def randomise(module, seed, gain=1.0):
    """Sets every parameter: matrices from N(0, gain^2 / inputs), biases from N(0, 0.1^2), scales from N(1, 0.1^2).

    A matrix of this scale keeps the size of what it is given, so that neither a deep network nor a rollout of many
    steps multiplies rounding errors. Nothing stays at zero or one, as the modulations and the output layer of a fresh
    model do: what is zero hides every mistake behind it.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2:
                parameter.copy_(noise * gain / parameter[0].numel() ** 0.5)
            elif name.endswith("weight"):
                parameter.copy_(1 + 0.1 * noise)
            else:
                parameter.copy_(0.1 * noise)
    return module.eval()
