"""AutoencoderKL against diffusers' own class on small random models."""

import diffusers
import pytest
import torch

import parity_tool

TOLERANCE = 1e-5

COMMON = dict(layers_per_block=1, norm_num_groups=4, latent_channels=4)
# Name, config, height and width of the latents, batch.
CASES = [
    ("one_level", dict(block_out_channels=(8,), **COMMON), (5, 7), 2),
    ("sd3_like", dict(block_out_channels=(8, 16, 16), use_quant_conv=False, use_post_quant_conv=False,
                      layers_per_block=2, norm_num_groups=8, latent_channels=16, scaling_factor=1.5305,
                      shift_factor=0.0609), (6, 4), 1),
    ("no_attention", dict(block_out_channels=(8, 12), mid_block_add_attention=False, **COMMON), (3, 8), 3),
    ("no_attention_no_quant", dict(block_out_channels=(4, 8, 8, 16), mid_block_add_attention=False,
                                   use_quant_conv=False, use_post_quant_conv=False, **COMMON), (2, 3), 2),
    ("quant_only", dict(block_out_channels=(8, 8), use_post_quant_conv=False, **COMMON), (9, 2), 1),
    ("post_quant_only", dict(block_out_channels=(16, 8), use_quant_conv=False, **COMMON), (4, 4), 2),
    ("channels", dict(block_out_channels=(6, 12, 18), in_channels=4, out_channels=1, layers_per_block=3,
                      norm_num_groups=3, latent_channels=5, shift_factor=-0.3, scaling_factor=2.0), (1, 6), 1),
    ("many_tokens", dict(block_out_channels=(8, 16), **COMMON), (13, 17), 1),
]


@pytest.fixture(params=CASES, ids=[case[0] for case in CASES])
def case(request, tmp_path):
    name, config, size, batch = request.param
    generator = torch.manual_seed(sum(map(ord, name)))
    levels = len(config["block_out_channels"])
    vae = diffusers.AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * levels,
                                  up_block_types=("UpDecoderBlock2D",) * levels, **config).eval()
    with torch.no_grad():  # norms away from 1 and 0, or a swap of theirs would not show
        for parameter in vae.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    vae.save_pretrained(tmp_path / "vae", safe_serialization=True)
    return vae, tmp_path, size, batch, 2 ** (levels - 1), generator


def test_decode(case):
    vae, path, (height, width), batch, factor, generator = case
    z = torch.randn(batch, vae.config.latent_channels, height, width, generator=generator)
    ours = parity_tool.run("vae-decode", path / "vae", {"z": z}, path)
    with torch.no_grad():
        theirs = vae.decode(z).sample
    assert theirs.shape[2:] == (factor * height, factor * width)
    assert parity_tool.max_error(ours["pictures"], theirs) <= TOLERANCE


def test_encode(case):
    vae, path, (height, width), batch, factor, generator = case
    x = torch.rand(batch, vae.config.in_channels, factor * height, factor * width, generator=generator) * 2 - 1
    ours = parity_tool.run("vae-encode", path / "vae", {"x": x}, path)
    with torch.no_grad():
        theirs = vae.encode(x).latent_dist
    assert parity_tool.max_error(ours["moments"], theirs.parameters) <= TOLERANCE
    scaled = (theirs.mean - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor
    assert parity_tool.max_error(ours["scaled"], scaled) <= TOLERANCE * max(1.0, vae.config.scaling_factor)
    assert parity_tool.max_error(ours["unscaled"], theirs.mean) <= TOLERANCE


def test_bfloat16_decode(tmp_path):
    """In bf16 the two may differ by rounding only: no more than the reference differs from float32."""
    torch.manual_seed(3)
    vae = diffusers.AutoencoderKL(block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
                                  up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4).eval()
    z = torch.randn(2, 4, 6, 5)
    with torch.no_grad():
        exact = vae.decode(z).sample
        rounded = vae.bfloat16().decode(z.bfloat16()).sample
    vae.save_pretrained(tmp_path / "vae", safe_serialization=True)
    ours = parity_tool.run("vae-decode", tmp_path / "vae", {"z": z.bfloat16()}, tmp_path)["pictures"]
    assert ours.dtype == torch.bfloat16
    allowed = 2 * (rounded.float() - exact).abs().max() + 1e-3
    assert (ours.float() - exact).abs().max() <= allowed
