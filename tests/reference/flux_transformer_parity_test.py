"""FluxTransformer2DModel against diffusers' own class on small random models."""

import json

import pytest
import torch

import parity_tool
import tiny_flux

TOLERANCE = 1e-5

# Name, config, height and width of the latents, batch, text tokens.
CASES = [
    ("dev", dict(), (8, 12), 2, 5),
    ("schnell", dict(guidance_embeds=False), (4, 4), 3, 7),
    ("other_axes", dict(attention_head_dim=24, axes_dims_rope=(8, 6, 10), num_attention_heads=3), (6, 10), 1, 1),
    ("no_frame_axis", dict(axes_dims_rope=(0, 8, 8), num_layers=3), (2, 16), 2, 20),
    ("single_blocks_alone", dict(num_layers=0, num_single_layers=3, in_channels=64), (8, 8), 2, 4),
    ("joint_blocks_alone", dict(num_layers=3, num_single_layers=0, guidance_embeds=False), (10, 6), 2, 9),
    ("many_tokens", dict(attention_head_dim=32, axes_dims_rope=(8, 12, 12)), (24, 20), 1, 30),
]
IDS = [case[0] for case in CASES]


def saved_model(name, config, folder):
    model = tiny_flux.make_transformer(sum(map(ord, name)), **config)
    model.save_pretrained(folder, safe_serialization=True)
    return model


def random_inputs(model, size, batch, length, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    c = model.config
    return {"x": normal(batch, c.in_channels // 4, *size), "timestep": 1000 * torch.rand(batch, generator=generator),
            "guidance": 1 + 6 * torch.rand(batch, generator=generator),
            "prompt_embeds": normal(batch, length, c.joint_attention_dim), "pooled": normal(batch, c.pooled_projection_dim)}


def packed(x):
    b, c, h, w = x.shape
    return x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def reference(model, inputs):
    b, c, h, w = inputs["x"].shape
    ids = torch.zeros(h // 2, w // 2, 3)
    ids[..., 1] += torch.arange(h // 2)[:, None]
    ids[..., 2] += torch.arange(w // 2)[None]
    with torch.no_grad():
        out = model(hidden_states=packed(inputs["x"]), timestep=inputs["timestep"] / 1000,
                    guidance=inputs["guidance"] if model.config.guidance_embeds else None,
                    encoder_hidden_states=inputs["prompt_embeds"], pooled_projections=inputs["pooled"],
                    txt_ids=torch.zeros(inputs["prompt_embeds"].shape[1], 3), img_ids=ids.reshape(-1, 3)).sample
    return out.view(b, h // 2, w // 2, c, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c, h, w)


@pytest.mark.parametrize("name,config,size,batch,length", CASES, ids=IDS)
def test_velocity(name, config, size, batch, length, tmp_path):
    model = saved_model(name, config, tmp_path / "transformer")
    inputs = random_inputs(model, size, batch, length)
    ours = parity_tool.run("flux-transformer", tmp_path / "transformer", inputs, tmp_path)
    theirs = reference(model, inputs)
    assert 0.2 < theirs.std() < 5
    assert parity_tool.max_error(ours["velocity"], theirs) <= TOLERANCE


@pytest.mark.parametrize("changed", ["x", "timestep", "guidance", "prompt_embeds", "pooled"])
def test_every_input_counts(changed, tmp_path):
    """The bound above would also hold for an input that neither side reads."""
    name, config, size, batch, length = CASES[0]
    model = saved_model(name, config, tmp_path / "transformer")
    inputs, others = random_inputs(model, size, batch, length), random_inputs(model, size, batch, length, seed=1)
    moved = parity_tool.run("flux-transformer", tmp_path / "transformer", {**inputs, changed: others[changed]}, tmp_path)
    assert (moved["velocity"] - reference(model, inputs)).abs().max() > 1e-3


def test_where_a_token_stands_counts(tmp_path):
    """Without positions a picture of the same patches in another order would give the same in that order."""
    name, config, size, batch, length = CASES[1]
    model = saved_model(name, config, tmp_path / "transformer")
    inputs = random_inputs(model, size, batch, length)
    ours = parity_tool.run("flux-transformer", tmp_path / "transformer", inputs, tmp_path)["velocity"]
    inputs["x"] = inputs["x"].flip(2).flip(3)
    turned = parity_tool.run("flux-transformer", tmp_path / "transformer", inputs, tmp_path)["velocity"]
    assert (turned.flip(2).flip(3) - ours).abs().max() > 1e-2


def test_bfloat16(tmp_path):
    """In bf16 the two may differ by rounding only: no more than the reference differs from float32."""
    name, config, size, batch, length = CASES[1]
    model = saved_model(name, config, tmp_path / "exact").bfloat16()
    model.save_pretrained(tmp_path / "transformer", safe_serialization=True)
    inputs = {key: tensor if key in ("timestep", "guidance") else tensor.bfloat16()
              for key, tensor in random_inputs(model, size, batch, length).items()}
    # Times that bfloat16 holds: diffusers rounds them to it, the network of Thalweg sees them in float32.
    inputs["timestep"] = torch.tensor([250.0, 500.0, 1000.0])
    exact_model = tiny_flux.diffusers.FluxTransformer2DModel.from_pretrained(tmp_path / "transformer").float()
    exact = reference(exact_model, {key: tensor.float() for key, tensor in inputs.items()})
    rounded = reference(model, inputs).float()
    ours = parity_tool.run("flux-transformer", tmp_path / "transformer", inputs, tmp_path)["velocity"]
    assert ours.dtype == torch.bfloat16
    scale = exact.abs().max()
    assert (rounded - exact).abs().max() < 0.1 * scale
    assert (ours.float() - exact).abs().max() <= 2 * (rounded - exact).abs().max() + 1e-3 * scale


@pytest.mark.parametrize("key,value,word", [
    ("patch_size", 2, "patch_size"), ("axes_dims_rope", [4, 4, 6], "axes_dims_rope"), ("axes_dims_rope", [5, 3, 8], "even"),
    ("axes_dims_rope", [8, 8], "three"), ("in_channels", 18, "in_channels"), ("out_channels", 8, "out_channels"),
    ("num_layers", "two", "num_layers"), ("num_layers", 2, "transformer_blocks.1"), ("guidance_embeds", False, "guidance"),
    ("joint_attention_dim", 13, "context_embedder"), ("num_attention_heads", 0, "num_attention_heads"),
])
def test_config_that_does_not_fit(key, value, word, tmp_path):
    """A config that is out of range, or not that of the weights, is refused by name."""
    name, config, size, batch, length = CASES[0]
    model = saved_model(name, config, tmp_path / "transformer")
    path = tmp_path / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(AssertionError, match=word):
        parity_tool.run("flux-transformer", tmp_path / "transformer", random_inputs(model, size, batch, length), tmp_path)
