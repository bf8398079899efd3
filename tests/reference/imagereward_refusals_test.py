"""What the imagereward reward and its converter refuse, and how they say it."""

import json
import shutil

import pytest
import torch
from clip_folder import random_frames
from imagereward_test import BERT, PROMPTS, convert, converted, original_state, reward, scored  # noqa: F401 (a fixture)
from safetensors.torch import load_file, save_file


def refused(tmp_path, config, *said):
    done, _ = reward(tmp_path, config, torch.rand(1, 1, 3, 32, 32), ["a"])
    assert done.returncode == 2, done.stderr
    for words in said:
        assert words in done.stderr, done.stderr


@pytest.mark.parametrize("config,said", [
    ({}, ["/model"]), ({"model": "nowhere"}, ["/model", "convert_imagereward.py"]),
    ({"model": "x", "preprocess": "letterbox"}, ["/preprocess", "smooth"]), ({"model": "x", "processor": "y"}, ["processor"])], ids=str)
def test_configuration(config, said, tmp_path):
    refused(tmp_path, config, *said)


@pytest.fixture
def copy(converted, tmp_path):  # noqa: F811
    shutil.copytree(converted[0], tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("section,key,value,said", [
    (None, "model_type", "clip", "only blip"), (None, "text_config", None, "must be an object"),
    ("vision_config", "hidden_act", "relu", "hidden_act"), ("vision_config", "num_attention_heads", 3, "num_attention_heads"),
    ("vision_config", "patch_size", 0, "patch_size"), ("vision_config", "hidden_size", 1 << 40, "hidden_size"),
    ("vision_config", "image_size", 40, "position_embedding"), ("text_config", "is_decoder", False, "is_decoder"),
    ("text_config", "vocab_size", 5, "word_embeddings"), ("text_config", "num_hidden_layers", 1, "encoder.layer.1"),
    ("text_config", "model_type", "bert", "only blip_text_model")], ids=str)
def test_config_of_the_model(section, key, value, said, copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    (config[section] if section else config)[key] = value
    (copy / "config.json").write_text(json.dumps(config))
    refused(tmp_path, {"model": str(copy)}, "/model", said)


def test_tensors(copy, tmp_path):
    tensors = load_file(copy / "model.safetensors")
    for changed, said in [({**tensors, "itm_head.weight": torch.zeros(2)}, "itm_head.weight"),
                          ({n: t for n, t in tensors.items() if n != "mlp.layers.7.bias"}, "missing: mlp.layers.7.bias"),
                          ({**tensors, "mlp.layers.2.weight": torch.zeros(4, 4)}, "[4, 4]")]:
        save_file(changed, copy / "model.safetensors")
        refused(tmp_path, {"model": str(copy)}, said)


def test_files(copy, tmp_path):
    vocabulary = (copy / "vocab.txt").read_text()
    (copy / "vocab.txt").write_text(vocabulary + "more\n")
    refused(tmp_path, {"model": str(copy)}, "vocab.txt", "more than the text encoder's")
    (copy / "vocab.txt").write_text(vocabulary)
    (copy / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 40}, "crop_size": 40}')
    refused(tmp_path, {"model": str(copy)}, "40 pixels a side, the model takes 32")


def test_weights_in_half_precision(copy, converted, tmp_path):  # noqa: F811
    tensors = {name: tensor.half() for name, tensor in load_file(copy / "model.safetensors").items()}
    frames = random_frames(3, 2, 32, 32)[:, None]
    whole = scored(tmp_path, converted[0], frames, PROMPTS[:2])["values"]
    save_file(tensors, copy / "model.safetensors")
    assert (scored(tmp_path, copy, frames, PROMPTS[:2])["values"] - whole).abs().max() < 0.05


def test_other_weights_are_not_written(converted, tmp_path):  # noqa: F811
    state = original_state(converted[1])
    for changed, vocabulary, said in [
            ({**state, "blip.itm_head.weight": torch.zeros(1)}, BERT, "not of ImageReward: blip.itm_head.weight"),
            ({n: t for n, t in state.items() if n != "blip.visual_encoder.norm.bias"}, BERT, "missing: blip.visual_encoder.norm.bias"),
            ({n: t for n, t in state.items() if ".blocks.1." not in n}, BERT, "blip.visual_encoder.blocks.2."),
            (state, BERT[:-1], "pieces, and the model has")]:
        done = convert(tmp_path, state=changed, vocabulary=vocabulary)
        assert done.returncode == 1 and said in done.stderr and "nothing was written" in done.stderr, done.stderr
        assert not (tmp_path / "out").exists()
