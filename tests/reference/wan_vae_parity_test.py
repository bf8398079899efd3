"""AutoencoderKLWan against diffusers' own class on small random models: whole and in chunks."""

import pytest
import torch

import parity_tool
import tiny_wan

TOLERANCE = 2e-5  # the largest seen is 6e-6
# Rounding of float32; in float64 they agree to 1e-12 (tests/models/wan_vae_test.cpp). A norm over few channels amplifies
# rounding where they are small: with 4 at every level 17 frames differ by 1.5e-5.
CHUNKS = 1e-5

# Name, config, frames, height and width in pixels, batch.
CASES = [
    ("like_wan", dict(base_dim=4, z_dim=4, dim_mult=[1, 2, 4, 4], num_res_blocks=2,
                      temperal_downsample=[False, True, True]), 9, (16, 24), 1),
    ("flat", dict(base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
                  temperal_downsample=[True, False, True]), 17, (24, 16), 1),
    ("small_factor", dict(base_dim=8, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=1, temperal_downsample=[True, True],
                          scale_factor_spatial=4), 5, (20, 12), 2),
    ("one_frame", dict(base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1,
                       temperal_downsample=[True, True, False]), 1, (32, 8), 2),
    ("own_decoder_width", dict(base_dim=4, decoder_base_dim=6, z_dim=3, dim_mult=[2, 1, 3], num_res_blocks=3,
                               temperal_downsample=[True, True], scale_factor_spatial=4), 9, (8, 12), 1),
    ("five_levels", dict(base_dim=4, z_dim=5, dim_mult=[1, 2, 2, 3, 1], num_res_blocks=1,
                         temperal_downsample=[False, True, False, True], scale_factor_spatial=16), 13, (16, 32), 1),
    ("odd_width", dict(base_dim=3, z_dim=2, dim_mult=[1, 3, 3], num_res_blocks=1, temperal_downsample=[True, True],
                       scale_factor_spatial=4), 5, (4, 4), 3),
    ("many_pixels", dict(base_dim=4, z_dim=4, dim_mult=[1, 1, 2], num_res_blocks=1, temperal_downsample=[True, True],
                         scale_factor_spatial=4), 5, (52, 60), 1),
]


def make(name, config):
    seed = sum(map(ord, name))
    return tiny_wan.make_vae(seed, **config), torch.Generator().manual_seed(seed)


def inputs(config, frames, size, batch, generator, dtype=torch.float32):
    factor = 2 ** (len(config["dim_mult"]) - 1)
    z = torch.randn(batch, config["z_dim"], (frames - 1) // 4 + 1, size[0] // factor, size[1] // factor,
                    generator=generator)
    x = torch.rand(batch, 3, frames, *size, generator=generator) * 2 - 1
    return {"z": z.to(dtype), "x": x.to(dtype)}


@pytest.mark.parametrize("name,config,frames,size,batch", CASES, ids=[case[0] for case in CASES])
def test_as_diffusers(name, config, frames, size, batch, tmp_path):
    vae, generator = make(name, config)
    vae.save_pretrained(tmp_path / "vae", safe_serialization=True)
    given = inputs(config, frames, size, batch, generator)
    ours = parity_tool.run("wan-vae", tmp_path / "vae", given, tmp_path)
    with torch.no_grad():
        pictures = vae.decode(given["z"]).sample
        posterior = vae.encode(given["x"]).latent_dist
    assert pictures.shape == (batch, 3, frames, *size)
    assert (pictures.abs() < 1).float().mean() > 0.8 and pictures.std() > 0.1
    mean, std = (torch.tensor(vae.config[key]).view(1, -1, 1, 1, 1) for key in ["latents_mean", "latents_std"])
    found = {"frames": parity_tool.max_error(ours["frames"], pictures),
             "moments": parity_tool.max_error(ours["moments"], posterior.parameters),
             "scaled": parity_tool.max_error(ours["scaled"], (posterior.mean - mean) / std),
             "unscaled": parity_tool.max_error(ours["unscaled"], posterior.mean)}
    print(name, found)
    assert max(found.values()) <= TOLERANCE, found
    for key in ["frames", "moments"]:
        assert parity_tool.max_error(ours[f"chunked_{key}"], ours[key]) <= CHUNKS, key


def test_bfloat16(tmp_path):
    """In bf16 the two may differ by rounding only: no more than the reference differs from float32."""
    name, config, frames, size, batch = CASES[2]
    vae, generator = make(name, config)
    given = inputs(config, frames, size, batch, generator)
    with torch.no_grad():
        exact = vae.decode(given["z"]).sample
        rounded = vae.bfloat16().decode(given["z"].bfloat16()).sample
    vae.save_pretrained(tmp_path / "vae", safe_serialization=True)
    ours = parity_tool.run("wan-vae", tmp_path / "vae", {k: v.bfloat16() for k, v in given.items()}, tmp_path)
    assert ours["frames"].dtype == torch.bfloat16
    error, allowed = ((t.float() - exact).abs().mean() for t in (ours["frames"], rounded))
    assert 0 < error <= 1.5 * allowed
