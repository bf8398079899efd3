"""SD3Transformer2DModel against diffusers' own class on small random models."""

import json

import diffusers
import pytest
import torch

import parity_tool
from random_weights import randomise

TOLERANCE = 1e-5

COMMON = dict(sample_size=8, in_channels=4, out_channels=4, num_layers=2, joint_attention_dim=12,
              pooled_projection_dim=10)


def config(heads, head_dim, **changes):
    return {**COMMON, "num_attention_heads": heads, "attention_head_dim": head_dim,
            "caption_projection_dim": heads * head_dim, **changes}


# Name, config, height and width of the latents, batch, text tokens.
CASES = [
    ("sd3", config(2, 8, patch_size=2, pos_embed_max_size=6), (8, 8), 2, 7),
    ("sd35", config(2, 8, patch_size=2, pos_embed_max_size=6, qk_norm="rms_norm", dual_attention_layers=(0,)),
     (8, 12), 1, 5),
    ("dual_everywhere", config(3, 8, patch_size=1, pos_embed_max_size=9, qk_norm="rms_norm",
                               dual_attention_layers=(0, 1)), (5, 3), 3, 4),
    ("dual_without_norm", config(1, 16, patch_size=2, pos_embed_max_size=5, dual_attention_layers=(0, 1),
                                 num_layers=3), (4, 10), 2, 1),
    ("large_patch", config(4, 4, patch_size=4, pos_embed_max_size=4, qk_norm="rms_norm", sample_size=16, in_channels=3,
                           out_channels=3), (16, 8), 2, 9),
    ("one_layer", config(5, 12, patch_size=2, pos_embed_max_size=7, num_layers=1, in_channels=16, out_channels=16,
                         qk_norm="rms_norm", dual_attention_layers=(0,)), (6, 2), 2, 3),
    ("whole_table", config(2, 32, patch_size=1, pos_embed_max_size=8, num_layers=4, qk_norm="rms_norm"), (8, 8), 1, 20),
    ("odd_crop", config(2, 10, patch_size=2, pos_embed_max_size=96, sample_size=64, num_layers=2), (2, 30), 4, 77),
]


def saved_model(name, config, folder):
    model = diffusers.SD3Transformer2DModel(**config)
    randomise(model, sum(map(ord, name)))
    model.save_pretrained(folder, safe_serialization=True)
    return model


def random_inputs(config, size, batch, length, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    return {"x": normal(batch, config["in_channels"], *size), "timestep": 1000 * torch.rand(batch, generator=generator),
            "prompt_embeds": normal(batch, length, config["joint_attention_dim"]),
            "pooled": normal(batch, config["pooled_projection_dim"])}


def reference(model, inputs):
    with torch.no_grad():
        return model(hidden_states=inputs["x"], timestep=inputs["timestep"], pooled_projections=inputs["pooled"],
                     encoder_hidden_states=inputs["prompt_embeds"]).sample


@pytest.mark.parametrize("name,config,size,batch,length", CASES, ids=[case[0] for case in CASES])
def test_velocity(name, config, size, batch, length, tmp_path):
    model = saved_model(name, config, tmp_path / "transformer")
    inputs = random_inputs(config, size, batch, length)
    ours = parity_tool.run("transformer", tmp_path / "transformer", inputs, tmp_path)
    theirs = reference(model, inputs)
    assert 0.2 < theirs.std() < 5
    assert parity_tool.max_error(ours["velocity"], theirs) <= TOLERANCE
    assert parity_tool.max_error(ours["position_table"], model.pos_embed.pos_embed) <= 1e-6


@pytest.mark.parametrize("changed", ["x", "timestep", "prompt_embeds", "pooled"])
def test_every_input_counts(changed, tmp_path):
    """The bound above would also hold for an input that neither side reads."""
    name, config, size, batch, length = CASES[1]
    model = saved_model(name, config, tmp_path / "transformer")
    inputs, others = random_inputs(config, size, batch, length), random_inputs(config, size, batch, length, seed=1)
    moved = parity_tool.run("transformer", tmp_path / "transformer", {**inputs, changed: others[changed]}, tmp_path)
    assert (moved["velocity"] - reference(model, inputs)).abs().max() > 1e-2


def test_sharded(tmp_path):
    name, config, size, batch, length = CASES[0]
    model = saved_model(name, config, tmp_path / "whole")
    model.save_pretrained(tmp_path / "transformer", safe_serialization=True, max_shard_size="10KB")
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 2
    inputs = random_inputs(config, size, batch, length)
    ours = parity_tool.run("transformer", tmp_path / "transformer", inputs, tmp_path)
    assert parity_tool.max_error(ours["velocity"], reference(model, inputs)) <= TOLERANCE


@pytest.mark.parametrize("case", [CASES[1], CASES[3]], ids=["norm", "no_norm"])
def test_bfloat16(case, tmp_path):
    """In bf16 the two may differ by rounding only: no more than the reference differs from float32."""
    name, config, size, batch, length = case
    model = saved_model(name, config, tmp_path / "exact").bfloat16()
    model.save_pretrained(tmp_path / "transformer", safe_serialization=True)
    inputs = {key: tensor if key == "timestep" else tensor.bfloat16()
              for key, tensor in random_inputs(config, size, batch, length).items()}
    rounded = reference(model, inputs).float()
    exact = reference(model.float(), {key: tensor.float() for key, tensor in inputs.items()})
    ours = parity_tool.run("transformer", tmp_path / "transformer", inputs, tmp_path)["velocity"]
    assert ours.dtype == torch.bfloat16
    scale = exact.abs().max()
    assert (rounded - exact).abs().max() < 0.1 * scale
    assert (ours.float() - exact).abs().max() <= 2 * (rounded - exact).abs().max() + 1e-3 * scale


@pytest.mark.parametrize("key,value,word", [
    ("patch_size", 0, "patch_size"), ("qk_norm", "layer_norm", "qk_norm"), ("dual_attention_layers", [2], "dual"),
    ("out_channels", 8, "out_channels"), ("caption_projection_dim", 20, "caption_projection_dim"),
    ("num_layers", "two", "num_layers"), ("attention_head_dim", 12, "caption_projection_dim"),
    ("num_layers", 3, "transformer_blocks.2"), ("joint_attention_dim", 13, "context_embedder"),
])
def test_config_that_does_not_fit(key, value, word, tmp_path):
    """A config that is out of range, or not that of the weights, is refused by name."""
    name, config, size, batch, length = CASES[0]
    saved_model(name, config, tmp_path / "transformer")
    path = tmp_path / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(AssertionError, match=word):
        parity_tool.run("transformer", tmp_path / "transformer", random_inputs(config, size, batch, length), tmp_path)
