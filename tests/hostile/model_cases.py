"""Model folders broken in one way each. A case is (name, spoil, where, words): `spoil(folder)` is done to a copy whose
files are links to the shipped model's; the message must point below `where`."""

import json
import os
import pathlib
import struct

from hostile_tool import ROOT

MODEL = ROOT / "assets" / "models" / "tiny-sd3"


def copy_of(folder, model=MODEL):
    """Links instead of files: a spoiler replaces what it changes."""
    for path in model.rglob("*"):
        target = folder / path.relative_to(model)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    return folder


def put(path, data):
    path.unlink(missing_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())


def edit(path, **changes):
    put(path, {**json.loads(path.read_text()), **changes})


def rows():
    """(name, file, what it becomes, words)."""
    index = "model_index.json"
    for text, words in [(b"", "not valid JSON"), (b"[]", "must be a JSON object"), (b"{}", "_class_name"), (b"null", "must be a JSON object"),
                        (b'{"_class_name": 7}', "must be a text"), (b'{"_class_name": "X", "_class_name": "Y"}', "given twice"),
                        (b'{"a":' * 100_000, "nested deeper"), (b" " * (2 << 20), "is larger than"), (b"\xef\xbb\xbf{}", "byte order mark")]:
        yield f"index {text[:20]}", index, text, words
    configs = ["transformer/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"]
    for file in configs:
        for text, words in [(b"", "not valid JSON"), (b"[]", "must be a JSON object"), (b"7", "must be a JSON object"), (b"\xff", "not valid JSON"),
                            (b'{"a":1,"a":2}', "given twice"), (b"[" * 10**6, "nested deeper"), (b"{}" + b" " * (2 << 20), "is larger than"),
                            (b'{"x":1e999}', "not valid JSON")]:
            yield f"{file} {text[:20]}", file, text, words
    for component in ["transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]:
        for data, words in [(b"", "is 0 bytes long"), (bytes(7), "is 7 bytes long"), (b"\x80\x02}q\x00." * 10, "above the format's limit"),
                            (struct.pack("<Q", 2) + b"{}", "are missing"), (struct.pack("<Q", 2**40) + b"{}", "above the format's limit")]:
            yield f"{component} {data[:10]}", component + ".safetensors", data, words
    for tokenizer in ["tokenizer", "tokenizer_2"]:
        for name, data, words in [("vocab.json", b"", "not valid JSON"), ("vocab.json", b"{}", "not empty"), ("vocab.json", b"[" * 10**6, "nested deeper"),
                                  ("vocab.json", {"a": -1}, "has the id -1"), ("vocab.json", {"a": 2**63}, "has the id"),
                                  ("vocab.json", {"a": 0, "b": 0}, "given to two"), ("vocab.json", b" " * (17 << 20), "is larger than"),
                                  ("merges.txt", b"a\n", "is not two tokens"), ("merges.txt", b"\xff \xff\n", "vocabulary lacks"),
                                  ("merges.txt", b"\0 \0\n", "vocabulary lacks"), ("tokenizer.json", b"{}", "no object"),
                                  ("tokenizer.json", b"null", "must hold a JSON object"), ("tokenizer_config.json", b"[]", "must hold a JSON object"),
                                  ("tokenizer_config.json", {"model_max_length": 10**6}, "is above the"),
                                  ("tokenizer_config.json", {"model_max_length": -1}, "model_max_length"),
                                  ("tokenizer_config.json", {"added_tokens_decoder": {"99999999999999999999": {}}}, "not an id"),
                                  ("special_tokens_map.json", {"pad_token": 7}, "must be a token"), ("added_tokens.json", {"x": "y"}, "must be an integer")]:
            yield f"{tokenizer}/{name} {str(data)[:20]}", f"{tokenizer}/{name}", data, words


def edits():
    """(file, changed keys, words)."""
    for values in [{"sample_size": 0}, {"sample_size": 2**63}, {"sample_size": "8"}, {"patch_size": -1}, {"num_layers": 10**9}, {"num_layers": 1.5},
                   {"num_attention_heads": 0}, {"attention_head_dim": [8]}, {"pos_embed_max_size": 10**9}, {"in_channels": None, "out_channels": 7},
                   {"caption_projection_dim": 1}, {"dual_attention_layers": 7}, {"dual_attention_layers": [99]}, {"dual_attention_layers": [-1]},
                   {"dual_attention_layers": [2**64 - 1]}, {"dual_attention_layers": ["0"]}, {"qk_norm": "layer_norm"}, {"qk_norm": 7}]:
        yield "transformer/config.json", values, list(values)[-1] if len(values) == 1 else "out_channels"
    for values in [{"block_out_channels": []}, {"block_out_channels": [0]}, {"block_out_channels": [1] * 9}, {"block_out_channels": 7},
                   {"block_out_channels": [2**40]}, {"norm_num_groups": 0}, {"norm_num_groups": 7}, {"layers_per_block": 10**6}, {"latent_channels": 0},
                   {"scaling_factor": 0}, {"scaling_factor": "x"}, {"shift_factor": 1e300}, {"down_block_types": ["X", "Y"]}, {"act_fn": "relu"},
                   {"use_quant_conv": 1}, {"latents_mean": [0]}]:
        yield "vae/config.json", values, "norm_num_groups" if values == {"norm_num_groups": 7} else list(values)[0]
    for values in [{"vocab_size": 0}, {"vocab_size": 2**40}, {"hidden_size": 7, "num_attention_heads": 2}, {"num_hidden_layers": -1}, {"hidden_act": "relu"},
                   {"layer_norm_eps": -1}, {"max_position_embeddings": 0}, {"model_type": "t5"}, {"eos_token_id": -1}]:
        yield "text_encoder/config.json", values, list(values)[0]
    for values in [{"shift": 0}, {"shift": "3"}, {"num_train_timesteps": 0}, {"use_dynamic_shifting": 1}, {"use_karras_sigmas": 1},
                   {"shift_terminal": 2}]:
        yield "scheduler/scheduler_config.json", values, list(values)[0]
    for values in [{"_class_name": "X\u001b[31m"}, {"vae": ["diffusers"]}, {"vae": [7, 7]}, {"vae": [None, "X"]}, {"../vae": ["diffusers", "X"]},
                   {"vae": ["flax", "X"]}, {"vae": [None, None]}]:
        yield "model_index.json", values, ""


def shards(names):
    """An index whose first tensor lies in a file of each of these names."""
    def spoil(folder):
        component = folder / "vae"
        (component / "diffusion_pytorch_model.safetensors").unlink()
        put(component / "diffusion_pytorch_model.safetensors.index.json", names)
    return spoil


def loop(path):
    def spoil(folder):
        target = folder / path
        if target.is_dir():
            for child in target.iterdir():
                child.unlink()
            target.rmdir()
        else:
            target.unlink()
        target.symlink_to(target.name)
    return spoil


def special(path, make):
    def spoil(folder):
        (folder / path).unlink(missing_ok=True)
        make(folder / path)
    return spoil


FILES = ["model_index.json", "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json",
         "tokenizer/merges.txt", "scheduler/scheduler_config.json"]


def cases():
    for name, file, data, words in rows():
        where = str(pathlib.PurePath(file).parent) if words in ("are missing", "is above the") else file
        yield name, lambda folder, file=file, data=data: put(folder / file, data), where, words
    for file, values, words in edits():
        name = f"{file} {str(values)[:50]}"
        yield name, lambda folder, file=file, values=values: edit(folder / file, **values), "", words
    index = "vae/diffusion_pytorch_model.safetensors.index.json"
    for value in [[], {}, {"weight_map": {}}, {"weight_map": []}, {"weight_map": 7}]:
        yield f"index {value}", shards(value), index, "weight_map"
    for shard in ["../transformer/x.safetensors", "/etc/passwd", "/etc/x.safetensors", "a/b.safetensors", "..\\x.safetensors", ".safetensors", "",
                  "x\0.safetensors", "x" * 300 + ".safetensors", "x.bin", 7, None, ["x.safetensors"]]:
        yield f"shard {str(shard)[:30]!a}", shards({"weight_map": {"a": shard}}), index, ""
    yield "shard that is not there", shards({"weight_map": {"a": "no.safetensors"}}), "vae/no.safetensors", "no such file"
    yield "many shards", shards({"weight_map": {f"t{i}": f"s{i}.safetensors" for i in range(50_000)}}), "vae/s0.safetensors", "no such file"
    for path in FILES + ["vae", "tokenizer"]:
        yield f"{path} leads to itself", loop(path), pathlib.PurePath(path).parts[0] if path != "model_index.json" else "", ""
    for path in FILES:
        top = "" if path == "model_index.json" else str(pathlib.PurePath(path).parent)
        yield f"{path} is a FIFO", special(path, os.mkfifo), top, ""
        yield f"{path} is a folder", special(path, os.mkdir), top, ""
        yield f"{path} is a device", special(path, lambda p: p.symlink_to("/dev/zero")), top, ""
        yield f"{path} is not there", special(path, lambda p: None), top, ""
