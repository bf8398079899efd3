"""CLIP's text encoder against transformers' own class on small random models."""

import pytest
import torch
import transformers

import parity_tool

TOLERANCE = 1e-5

COMMON = dict(vocab_size=60, max_position_embeddings=12, bos_token_id=58, eos_token_id=59, pad_token_id=59)
CASES = [
    ("small", dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                   projection_dim=16, **COMMON), 12),
    ("gelu", dict(hidden_size=24, intermediate_size=48, num_hidden_layers=3, num_attention_heads=3,
                  projection_dim=20, hidden_act="gelu", **COMMON), 12),
    ("one_layer", dict(hidden_size=8, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1,
                       projection_dim=4, **COMMON), 7),
    ("legacy_end_token", dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                              projection_dim=32, **{**COMMON, "eos_token_id": 2, "pad_token_id": 1}), 12),
    ("padding_zero", dict(hidden_size=32, intermediate_size=40, num_hidden_layers=4, num_attention_heads=8,
                          projection_dim=48, hidden_act="gelu", **{**COMMON, "pad_token_id": 0}), 11),
    ("coarse_eps", dict(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4,
                        projection_dim=8, layer_norm_eps=0.01, **COMMON), 5),
    ("long", dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                  projection_dim=16, **{**COMMON, "max_position_embeddings": 160}), 150),
]


def random_ids(config, length, legacy, batch=4):
    """Words between a start and an end token, padded; the last row has no padding."""
    end = 59 if legacy else config.eos_token_id
    ids = torch.randint(3, 58, (batch, length))
    ids[:, 0] = 58
    for row in range(batch):
        stop = length - 1 if row == batch - 1 else 1 + row * (length - 2) // batch
        ids[row, stop] = end
        ids[row, stop + 1:] = config.pad_token_id
    return ids


def random_model(name, config):
    torch.manual_seed(sum(map(ord, name)))
    model = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**config)).eval()
    with torch.no_grad():  # larger than at initialisation, so that every layer shows in the output
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


def assert_same(ours, model, ids):
    with torch.no_grad():
        theirs = model(ids, output_hidden_states=True)
    assert parity_tool.max_error(ours["penultimate"], theirs.hidden_states[-2]) <= TOLERANCE
    assert parity_tool.max_error(ours["last"], theirs.last_hidden_state) <= TOLERANCE
    assert parity_tool.max_error(ours["pooled"], theirs.text_embeds) <= TOLERANCE


@pytest.mark.parametrize("name,config,length", CASES, ids=[case[0] for case in CASES])
def test_features(name, config, length, tmp_path):
    model = random_model(name, config)
    model.save_pretrained(tmp_path / "text_encoder", safe_serialization=True)
    ids = random_ids(model.config, length, name == "legacy_end_token")
    ours = parity_tool.run("clip-text", tmp_path / "text_encoder", {"ids": ids}, tmp_path)
    assert_same(ours, model, ids)


def test_sharded(tmp_path):
    name, config, length = CASES[1]
    model = random_model(name, config)
    model.save_pretrained(tmp_path / "text_encoder", safe_serialization=True, max_shard_size="10KB")
    assert len(list((tmp_path / "text_encoder").glob("*.safetensors"))) > 2
    ids = random_ids(model.config, length, False)
    ours = parity_tool.run("clip-text", tmp_path / "text_encoder", {"ids": ids}, tmp_path)
    assert_same(ours, model, ids)
