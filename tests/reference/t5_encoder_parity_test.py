"""The encoders of T5 and UMT5 against transformers' own classes on small random models. Neither scales its attention, so that
float32 itself is far from exact in some: ours is held to be about as near to the features in float64 as theirs is."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import parity_tool

FLOOR = 1e-5  # that much is always granted
TIMES = 3.0  # of transformers' own error; the largest seen is 1.8, on processors with and without AVX-512

COMMON = dict(vocab_size=60, decoder_start_token_id=0)
CASES = [
    ("relu", dict(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, feed_forward_proj="relu"), 12),
    ("gated_gelu", dict(d_model=24, d_kv=8, d_ff=40, num_layers=3, num_heads=3, feed_forward_proj="gated-gelu"), 20),
    ("odd_head_width", dict(d_model=16, d_kv=7, d_ff=24, num_layers=2, num_heads=5, feed_forward_proj="gated-gelu"), 9),
    ("few_buckets", dict(d_model=16, d_kv=4, d_ff=16, num_layers=2, num_heads=4, relative_attention_num_buckets=6,
                         relative_attention_max_distance=9), 30),
    ("odd_buckets", dict(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, relative_attention_num_buckets=15,
                         relative_attention_max_distance=200, feed_forward_proj="gated-silu"), 250),
    ("long", dict(d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu"), 300),
    ("coarse_eps", dict(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, layer_norm_epsilon=0.01,
                        feed_forward_proj="gelu_new"), 1),
]
IDS = [case[0] for case in CASES]


def random_model(name, config, kind="T5"):
    torch.manual_seed(sum(map(ord, name)))
    config = getattr(transformers, f"{kind}Config")(**COMMON, **config)
    model = getattr(transformers, f"{kind}EncoderModel")(config).eval()
    with torch.no_grad():  # larger than at initialisation, so that biases and norms show in the output
        for key, parameter in model.named_parameters():
            scale = 1.0 if "relative_attention_bias" in key else 0.2
            parameter.add_(scale * torch.randn(parameter.shape))
    return model


def random_ids(length, batch=3):
    """Words, the end token and padding; the last row has none."""
    ids = torch.randint(3, 60, (batch, length))
    for row in range(batch - 1):
        stop = row * length // batch
        ids[row, stop] = 1
        ids[row, stop + 1:] = 0
    ids[-1, -1] = 1
    return ids


def features(folder, ids, scratch, dtype=torch.float32):
    return parity_tool.run("t5", folder, {"ids": ids, "dtype": torch.zeros(1, dtype=dtype)}, scratch)["features"]


def theirs_of(model, ids):
    with torch.no_grad():
        return model(ids)[0]


def assert_as_near(ours, model, ids):
    """To the exact features, as transformers is. `model` is in float64 afterwards."""
    theirs = theirs_of(model.float(), ids)
    exact = theirs_of(model.double(), ids)
    errors = [(features.double() - exact).abs().max().item() for features in (ours, theirs)]
    print(errors)
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    assert errors[0] <= FLOOR + TIMES * errors[1]


@pytest.mark.parametrize("name,config,length", CASES, ids=IDS)
def test_features(name, config, length, tmp_path):
    model = random_model(name, config)
    model.save_pretrained(tmp_path / "t5")
    ids = random_ids(length)
    assert_as_near(features(tmp_path / "t5", ids, tmp_path), model, ids)


@pytest.mark.parametrize("name,config,length", CASES, ids=IDS)
def test_features_of_umt5(name, config, length, tmp_path):
    """Each layer has a bias of its own: with that of the first in all, other features come out."""
    model = random_model(name, config, "UMT5")
    model.save_pretrained(tmp_path / "umt5")
    ids = random_ids(length)
    assert_as_near(features(tmp_path / "umt5", ids, tmp_path), model, ids)
    if length > 1 and config["num_layers"] > 1:
        exact = theirs_of(model, ids)
        table = "encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.weight"
        state = model.state_dict()
        for layer in range(1, config["num_layers"]):
            state[table.format(layer)].copy_(state[table.format(0)])
        assert (theirs_of(model, ids) - exact).abs().max() > 0.01


def test_padding_of_umt5_is_as_good_as_absent(tmp_path):
    """What the mask leaves out changes nothing, so that a prompt is read at its own length."""
    name, config, length = CASES[1]
    model = random_model(name, config, "UMT5")
    model.save_pretrained(tmp_path / "umt5")
    ids = random_ids(length)
    mask = (ids != 0).long()
    with torch.no_grad():
        theirs = model(ids, mask)[0]
    for row, tokens in enumerate(mask.sum(1).tolist()):
        ours = features(tmp_path / "umt5", ids[row:row + 1, :tokens], tmp_path)
        assert parity_tool.max_error(ours, theirs[row:row + 1, :tokens]) <= FLOOR


def test_sharded_half_precision(tmp_path):
    """As the T5 of Stable Diffusion 3 is stored: float16, in shards. Computed in float32."""
    name, config, length = CASES[1]
    model = random_model(name, config).half()
    model.save_pretrained(tmp_path / "t5", max_shard_size="10KB")
    assert len(list((tmp_path / "t5").glob("model-0*-of-*.safetensors"))) > 2
    ids = random_ids(length)
    assert_as_near(features(tmp_path / "t5", ids, tmp_path), model, ids)


def test_bfloat16_on_disk(tmp_path):
    name, config, length = CASES[2]
    model = random_model(name, config).bfloat16()
    model.save_pretrained(tmp_path / "t5")
    ids = random_ids(length)
    assert_as_near(features(tmp_path / "t5", ids, tmp_path), model, ids)


@pytest.mark.parametrize("case", [0, 1], ids=["relu", "gated_gelu"])
def test_computed_in_bfloat16(case, tmp_path):
    """Nothing stays in float32 there, in neither program: both are as far from the exact features."""
    name, config, length = CASES[case]
    model = random_model(name, config)
    model.save_pretrained(tmp_path / "t5")
    ids = random_ids(length)
    exact = theirs_of(model, ids)
    low = transformers.T5EncoderModel.from_pretrained(tmp_path / "t5", dtype=torch.bfloat16).eval()
    assert {p.dtype for p in low.parameters()} == {torch.bfloat16}
    theirs = theirs_of(low, ids)
    ours = features(tmp_path / "t5", ids, tmp_path, torch.bfloat16)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    error = (ours.float() - exact).abs().mean()
    assert 0 < error <= 1.5 * (theirs.float() - exact).abs().mean()


def test_names_of_the_embedding(tmp_path):
    """Files call it shared.weight, encoder.embed_tokens.weight, or both; some hold a decoder too."""
    name, config, length = CASES[0]
    model = random_model(name, config)
    model.save_pretrained(tmp_path / "t5")
    path = tmp_path / "t5" / "model.safetensors"
    tensors = load_file(path)
    ids = random_ids(length)
    expected = theirs_of(model, ids)
    shared = tensors.pop("shared.weight")
    for names in (["encoder.embed_tokens.weight"], ["shared.weight", "encoder.embed_tokens.weight"]):
        extra = {"decoder.final_layer_norm.weight": torch.ones(16), "lm_head.weight": torch.ones(60, 16)}
        save_file({**tensors, **extra, **{n: shared.clone() for n in names}}, path, metadata={"format": "pt"})
        assert parity_tool.max_error(features(tmp_path / "t5", ids, tmp_path), expected) <= FLOOR
    save_file({**tensors, "shared.weight": shared, "encoder.embed_tokens.weight": shared + 1}, path)
    with pytest.raises(AssertionError, match="two names of one table"):
        features(tmp_path / "t5", ids, tmp_path)


@pytest.mark.parametrize("change,words", [
    ({"model_type": "umt5"}, "missing: encoder.block.1.*relative_attention_bias"),
    ({"model_type": "mt5"}, "only t5 and umt5"),
    ({"feed_forward_proj": "gated-tanh"}, "feed_forward_proj"),
    ({"d_kv": 0}, "d_kv"),
    ({"num_heads": "two"}, "num_heads"),
    ({"relative_attention_max_distance": 8}, "relative_attention_max_distance"),
    ({"d_kv": 9}, "another shape"),
    ({"num_layers": 3}, "missing"),
    ({"num_layers": 1}, "not of this model"),
])
def test_refused(change, words, tmp_path):
    name, config, length = CASES[0]
    random_model(name, config).save_pretrained(tmp_path / "t5")
    path = tmp_path / "t5" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(AssertionError, match=words):
        features(tmp_path / "t5", random_ids(length), tmp_path)


def test_unknown_token(tmp_path):
    name, config, length = CASES[0]
    random_model(name, config).save_pretrained(tmp_path / "t5")
    with pytest.raises(AssertionError, match="outside of the T5 encoder's vocabulary"):
        features(tmp_path / "t5", torch.full((1, 3), 60), tmp_path)
