"""WanTransformer3DModel against diffusers' own class on small random models."""

import json

import diffusers
import pytest
import torch

import parity_tool
import tiny_wan

TOLERANCE = 1e-4


def config(heads, head_dim, **changes):
    return {**tiny_wan.TRANSFORMER, "num_attention_heads": heads, "attention_head_dim": head_dim, **changes}


# Name, config, latent frames, height and width, batch, text tokens.
CASES = [
    ("like_wan", config(2, 12), 3, (8, 8), 2, 7),
    ("odd_split", config(2, 16, num_layers=3, freq_dim=256), 5, (4, 6), 1, 12),
    ("one_frame", config(3, 8, ffn_dim=20), 1, (6, 10), 3, 1),
    ("no_norm", config(1, 24, cross_attn_norm=False, text_dim=5), 2, (4, 4), 2, 5),
    ("patch_of_one", config(4, 6, patch_size=(1, 1, 1), in_channels=3, out_channels=3, num_layers=1), 4, (3, 5), 2, 9),
    ("oblong_patch", config(2, 10, patch_size=(1, 4, 2), in_channels=16, out_channels=16), 2, (8, 6), 1, 6),
    ("coarse_eps", config(5, 14, eps=0.01, num_layers=4), 3, (6, 4), 1, 4),
    ("many_tokens", config(2, 12, num_layers=1), 5, (16, 20), 1, 20),
]
IDS = [case[0] for case in CASES]


def make(name, config):
    return tiny_wan.make_transformer(sum(map(ord, name)), **config)


def inputs(name, config, frames, size, batch, tokens):
    generator = torch.Generator().manual_seed(len(name))
    text = torch.randn(batch, tokens, config["text_dim"], generator=generator)
    text[0, tokens // 2 + 1:] = 0  # as behind the end of a prompt
    return {"x": torch.randn(batch, config["in_channels"], frames, *size, generator=generator),
            "timestep": torch.tensor([999.0, 437.5, 3.25])[:batch], "prompt_embeds": text}


def run(path, given, dtype=torch.float32):
    return parity_tool.run("wan-transformer", path / "transformer", {**given, "dtype": torch.zeros(1, dtype=dtype)}, path)


def velocity(model, given):
    return model(given["x"], given["timestep"], given["prompt_embeds"]).sample


@pytest.mark.parametrize("name,config,frames,size,batch,tokens", CASES, ids=IDS)
def test_as_diffusers(name, config, frames, size, batch, tokens, tmp_path):
    model = make(name, config)
    model.save_pretrained(tmp_path / "transformer", safe_serialization=True)
    given = inputs(name, config, frames, size, batch, tokens)
    ours = run(tmp_path, given)
    x = given["x"].clone().requires_grad_()
    theirs = velocity(model, {**given, "x": x})
    gradient, = torch.autograd.grad(theirs.square().sum(), x)
    errors = [parity_tool.max_error(ours["velocity"], theirs.detach()), parity_tool.max_error(ours["gradient"], gradient)]
    print(name, errors, theirs.std().item(), gradient.std().item())
    assert 0.1 < theirs.std() < 5
    assert errors[0] <= TOLERANCE and errors[1] <= TOLERANCE * max(1.0, gradient.abs().max().item())
    assert torch.equal(ours["gradient"], ours["checkpointed_gradient"])


@pytest.mark.parametrize("case", [0, 1], ids=IDS[:2])
def test_computed_in_bfloat16(case, tmp_path):
    """No further from float32 than diffusers is, which keeps the same parts in float32."""
    name, config, *shape = CASES[case]
    model = make(name, config)
    model.save_pretrained(tmp_path / "transformer", safe_serialization=True)
    given = inputs(name, config, *shape)
    ours = run(tmp_path, given, torch.bfloat16)["velocity"]
    with torch.no_grad():
        exact = velocity(model, given)
        low = diffusers.WanTransformer3DModel.from_pretrained(tmp_path / "transformer", torch_dtype=torch.bfloat16).eval()
        assert low.condition_embedder.time_embedder.linear_1.weight.dtype == torch.float32
        theirs = low(given["x"].bfloat16(), given["timestep"], given["prompt_embeds"].bfloat16()).sample
    assert ours.dtype == torch.bfloat16
    error, allowed = ((t.float() - exact).abs().mean() for t in (ours, theirs))
    print(error, allowed)
    assert 0 < error <= 1.5 * allowed


@pytest.mark.parametrize("change,words", [
    ({"image_dim": 8}, "image_dim.*I2V"), ({"added_kv_proj_dim": 24}, "added_kv_proj_dim.*I2V"),
    ({"pos_embed_seq_len": 514}, "pos_embed_seq_len"), ({"in_channels": 8}, "out_channels"),
    ({"qk_norm": "rms_norm"}, "qk_norm"), ({"patch_size": [2, 2]}, "patch_size"), ({"patch_size": [2, 2, 2]}, "patch_size"),
    ({"attention_head_dim": 13}, "attention_head_dim"), ({"freq_dim": 15}, "freq_dim"), ({"num_layers": 3}, "missing"),
    ({"num_layers": 1}, "not of this model"), ({"ffn_dim": 33}, "another shape"), ({"eps": "small"}, "eps"),
])
def test_refused(change, words, tmp_path):
    name, config, *shape = CASES[0]
    make(name, config).save_pretrained(tmp_path / "transformer", safe_serialization=True)
    path = tmp_path / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(AssertionError, match=words):
        run(tmp_path, inputs(name, config, *shape))
