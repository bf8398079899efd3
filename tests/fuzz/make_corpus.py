"""Writes the seeds of the fuzz targets: small whole files of every kind that the readers know.

    .deps/venv/bin/python tests/fuzz/make_corpus.py     # after a change of a format; files named found-* are kept
"""

import io
import json
import pathlib
import struct
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from job_schema import expanded  # noqa: E402
from schema_words import names  # noqa: E402

CORPUS = ROOT / "tests" / "fuzz" / "corpus"
MODEL = ROOT / "assets" / "models" / "tiny-sd3"
LABORATORY = ROOT / "assets" / "laboratory"
SCHEMA = ROOT / "assets" / "schema" / "job.schema.json"


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_seeds():
    yield "empty", safetensors({})
    yield "one", safetensors({"a": tensor("F32", [2], 0, 8)}, struct.pack("<2f", 1, -2))
    yield "metadata", safetensors({"__metadata__": {"format": "pt", "k\u00fc": "\U0001f600\n"},
                                   "a": tensor("BF16", [1, 2], 0, 4)}, b"\x80\x3f\x00\x40")
    yield "several", safetensors({"b": tensor("I64", [1], 8, 16), "a": tensor("F64", [1, 1], 0, 8),
                                  "c": tensor("BOOL", [3], 16, 19), "d": tensor("F16", [0, 5], 19, 19),
                                  "e": tensor("U8", [], 19, 20)}, bytes(16) + b"\0\1\1" + b"x")
    yield "unaligned", safetensors({"a": tensor("I8", [1], 0, 1), "b": tensor("I32", [1], 1, 5)}, bytes(5))
    yield "narrow", safetensors({"a": tensor("F8_E4M3", [2], 0, 2), "b": tensor("F4", [2], 2, 3)}, bytes(3))
    yield "infinite", safetensors({"a": tensor("F32", [1], 0, 4)}, struct.pack("<f", float("inf")))
    yield "escapes", safetensors(b'{"\\u0061\\ud83d\\ude00":{"\\u0064type":"U8","shape":[1],"data_offsets":[0,1],'
                                 b'"later":{"x":[1,-2.5e3,true,null,"\\n"]}} , "__metadata__":null}', b"x")
    yield "hole", safetensors({"a": tensor("U8", [1], 0, 1), "b": tensor("U8", [1], 2, 3)}, bytes(3))
    yield "large-sizes", safetensors({"a": tensor("U8", [0, 2**62, 2**62], 0, 0)})


def job_seeds():
    sampler = {"name": "flow_sde", "steps": 4, "height": 16, "width": 16, "noise_level": 0.7,
               "window": {"begin": 0, "size": 2, "policy": "random"}}
    rewards = [{"plugin": "color", "config": {"channel": "red"}, "weight": 2, "dimensions": {"redness": 0.5},
                "transform": {"name": "log_sigmoid"}}]
    base = {"version": 1, "seed": 3, "output": "out", "rewards": rewards}
    model = {"path": "m", "dtype": "bfloat16", "lora": {"rank": 4, "alpha": 8, "targets": ["to_q"]}}
    sample = {**base, "job": "sample", "model": model, "prompts": {"texts": ["a"]}, "sampler": sampler}
    yield "sample", json.dumps(sample).encode()
    yield "score", json.dumps({**base, "job": "score", "images": "i", "prompts": {"path": "p"}}).encode()
    yield "evaluate", json.dumps({**base, "job": "evaluate", "model": model, "prompts": {"path": "p"},
                                  "guidance": [{"guidance_scale": 1.5}], "size": {"height": 8, "width": 8}}).encode()
    align = {**base, "job": "align", "model": model, "prompts": {"train": "t", "select": "s", "eval": "e"},
             "sampler": sampler, "method": {"name": "flow_grpo", "group_size": 4}, "iterations": 1}
    yield "align", json.dumps(align).encode()
    yield "nft", json.dumps({**align, "method": {"name": "diffusion_nft"}, "sampler": {"name": "flow_ode"}}).encode()
    yield "settings", json.dumps(sample).encode() + (b"\n=== set\n/seed=4\n/rewards/-/plugin=scene\n/sampler/name="
                                                     b"\"flow_ode\"\n/prompts={\"path\": \"p\"}\n/a~1b=1e999\n")


def filled(schema, turn):
    """A value with every key: defaults, the turn-th of alternatives and choices, and one element in lists of sections."""
    if "oneOf" in schema:
        # What is inside takes its next turn when all alternatives had theirs: every pair has its turn some time.
        rounds, index = divmod(turn, len(schema["oneOf"]))
        return filled(schema["oneOf"][index], rounds)
    if "properties" in schema:
        return {key: filled(inner, turn) for key, inner in schema["properties"].items()}
    if schema.get("items", {}).get("type") == "object":
        return [filled(schema["items"], turn)]
    if "enum" in schema:
        return schema["enum"][turn % len(schema["enum"])]
    for key in ["const", "default", "minimum"]:
        if key in schema:
            return schema[key]
    return {"object": {}, "string": "a"}[schema["type"]]


def whole_job_seeds():
    """Jobs with every key, as many as it takes for each name that the schema knows to stand in one of them."""
    kinds = expanded(json.loads(SCHEMA.read_text()))["oneOf"]
    missing = names(kinds)
    for turn in range(1000):
        for kind in kinds:
            job = filled(kind, turn)
            text = json.dumps(job)
            found = {name for name in missing if f'"{name}"' in text}
            if found:
                yield f"whole-{job['job']}-{turn:03}", text.encode()
            missing -= found


def tokenizer_seeds():
    folder = MODEL / "tokenizer"
    letters = {c + suffix: i for i, (c, suffix) in enumerate((c, s) for c in "abcder" for s in ("", "</w>"))}
    vocabulary = {**letters, "re": 12, "red</w>": 13, "<|startoftext|>": 14, "<|endoftext|>": 15}
    merges = ["r e", "re d</w>"]
    def added(i, content, normalized):
        return {"id": i, "content": content, "special": True, "normalized": normalized, "lstrip": False}
    whole = {"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocabulary, "merges": merges},
             "added_tokens": [added(14, "<|startoftext|>", False), added(15, "<|endoftext|>", True)],
             "post_processor": {"type": "RobertaProcessing", "cls": ["<|startoftext|>", 14], "sep": ["<|endoftext|>", 15]}}
    frame = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}
    template = {"type": "TemplateProcessing",
                "single": [frame("<|startoftext|>"), {"Sequence": {"id": "A"}}, frame("<|endoftext|>")],
                "special_tokens": {n: {"ids": [i]} for n, i in [("<|startoftext|>", 14), ("<|endoftext|>", 15)]}}
    def join(**files):
        parts = [f"=== {name.replace('__', '.')}\n{text}\n" for name, text in files.items()]
        return "".join(parts).encode()
    yield "unified", join(tokenizer__json=json.dumps(whole), text="red bad caf\u00e9 <|endoftext|> 12")
    yield "template", join(tokenizer__json=json.dumps({**whole, "post_processor": template}),
                           tokenizer_config__json='{"model_max_length": 12, "pad_token": "a"}', text="Red")
    config = {"model_max_length": 9, "bos_token": "<|startoftext|>", "eos_token": {"content": "<|endoftext|>"},
              "added_tokens_decoder": {"14": {"content": "<|startoftext|>", "special": True},
                                       "16": {"content": "new", "special": False, "normalized": True}}}
    yield "files", join(vocab__json=json.dumps(vocabulary), merges__txt="#version: 0.2\n" + "\n".join(merges),
                        tokenizer_config__json=json.dumps(config), text="a NEW red\u0301\t\u0130")
    yield "older", join(vocab__json=json.dumps(vocabulary), merges__txt="\n".join(merges),
                        special_tokens_map__json='{"pad_token": "b", "additional_special_tokens": ["x"]}',
                        added_tokens__json='{"x": 16, "yy": 17}', text="x yyx'll")
    yield "shipped", join(vocab__json=(folder / "vocab.json").read_text(),
                          merges__txt=(folder / "merges.txt").read_text(),
                          tokenizer_config__json=(folder / "tokenizer_config.json").read_text(),
                          text="two red circles above a blue square")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, raw, interlace=0, before=(), level=9):
    chunks = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)), *before,
              chunk(b"IDAT", zlib.compress(raw, level)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_seeds():
    yield "rgb", png(3, 2, 8, 2, b"".join(bytes([f]) + bytes(range(f, f + 9)) for f in (1, 4)))
    yield "gray16", png(2, 2, 16, 0, b"\0" + bytes(4) + b"\2" + b"\1\2\3\4")
    yield "gray1", png(9, 2, 1, 0, b"\0\xaa\x80\0\x55\x00")
    yield "rgba16", png(1, 1, 16, 6, b"\3" + bytes(range(8)))
    yield "graya", png(2, 1, 8, 4, b"\0\1\2\3\4")
    palette = chunk(b"PLTE", bytes(range(12)))
    yield "palette4", png(3, 1, 4, 3, b"\0\x01\x20", before=[palette, chunk(b"tRNS", b"\0\x80")])
    yield "interlaced", png(3, 3, 8, 0, b"\0\1" + b"\0\2" + b"\0\3\4" + b"\0\5" + b"\0\6" * 1 + b"\0\7\1\2" + b"\0\1", 1)
    yield "stored", png(2, 2, 8, 0, b"\0\1\2\0\3\4", level=0)
    yield "animated", png(1, 1, 8, 0, b"\0\7", before=[chunk(b"acTL", struct.pack(">II", 2, 0))])
    yield "colour-key", png(1, 1, 8, 2, b"\0\1\2\3", before=[chunk(b"tRNS", b"\0\1\0\2\0\3")])


def jpeg_seeds():
    from PIL import Image  # of the tests' environment: JPEG is no format to write by hand

    def saved(image, **options):
        file = io.BytesIO()
        image.save(file, format="JPEG", **options)
        return file.getvalue()

    colours = Image.frombytes("RGB", (12, 9), bytes(i * 37 % 256 for i in range(12 * 9 * 3)))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "baseline", saved(colours, quality=60)
    yield "444", saved(colours, quality=90, subsampling=0)
    yield "progressive", saved(colours, quality=60, progressive=True)
    yield "grey", saved(colours.convert("L"))
    yield "turned", saved(colours, quality=30, exif=exif)
    yield "restarts", saved(colours, quality=60, restart_marker_blocks=1)


def config_seeds():
    for letter, part in [("t", "transformer"), ("v", "vae"), ("c", "text_encoder"), ("c", "text_encoder_2")]:
        yield part, letter.encode() + (MODEL / part / "config.json").read_bytes()
    yield "dual", b't{"attention_head_dim": 8, "num_attention_heads": 2, "caption_projection_dim": 16, "num_layers": 2,' \
                  b' "dual_attention_layers": [0, 1], "qk_norm": "rms_norm", "in_channels": 4, "out_channels": 4}'
    yield "wan", b'w{"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 1, "ffn_dim": 32, "text_dim": 16,' \
                 b' "patch_size": [1, 2, 2], "qk_norm": "rms_norm_across_heads", "image_dim": null, "eps": 1e-06}'
    yield "wan-vae", b'a{"base_dim": 4, "z_dim": 2, "dim_mult": [1, 2, 2], "temperal_downsample": [true, true],' \
                     b' "latents_mean": [0, 0.1], "latents_std": [1, 2], "scale_factor_spatial": 4, "is_residual": false}'
    yield "unipc", b'u{"use_flow_sigmas": true, "prediction_type": "flow_prediction", "flow_shift": 3.0, "shift_terminal": 0.1}'
    for name in ["prompts", "video"]:
        yield f"mixture-{name}", b"m" + (LABORATORY / name / "mixture" / "config.json").read_bytes()
    yield "mixture-spoilt", b'm{"weights": [1e-12, 1], "means": [-1e6, 1e6], "stds": [1e-6, 0], "shape": [3, 4096, 1, 1],' \
                            b' "prompts": {"a/b": {"weights": [0.5, 0.5], "means": [0], "stds": []}, "": {}}, "_x": null}'


def video_seeds():
    from PIL import Image

    for path in sorted((ROOT / "tests" / "video" / "data").iterdir()):
        yield path.name, path.read_bytes()
    frames = [Image.frombytes("RGB", (9, 5), bytes((i * 29 + 40 * f) % 256 for i in range(135))) for f in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=[40, 80, 40])
    yield "gif", file.getvalue()


def http_seeds():
    """What clients of the service send, one or several requests a connection."""
    def request(line, body=b"", **headers):
        lines = [line + " HTTP/1.1", "Host: localhost", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    form = (b"--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--xyz\r\nContent-Disposition: form-data; "
            b"name=\"file\"; filename=\"p.txt\"\r\nContent-Type: text/plain\r\n\r\na red circle\n\r\n--xyz--\r\n")
    job = b"{\"job\": \"sample\", \"seed\": 1}"
    kind = "multipart/form-data; boundary=xyz"
    seeds = {
        "get": request("GET /health?a=b&c=%20d"),
        "two": request("GET /health") + request("HEAD /v1/jobs/x/files/a/b.png"),
        "post": request("POST /v1/jobs", job, Content_Type="application/json", Content_Length=len(job)),
        "chunked": request("POST /v1/jobs", b"%x\r\n%s\r\n0\r\n\r\n" % (len(job), job), Content_Type="application/json", Transfer_Encoding="chunked"),
        "both_lengths": request("POST /v1/jobs", b"0\r\n\r\n" + job, Content_Type="application/json", Content_Length=len(job), Transfer_Encoding="chunked"),
        "form": request("POST /v1/files", form, Content_Type=kind, Content_Length=len(form)),
        "continue": request("POST /v1/files", form, Content_Type=kind, Content_Length=len(form), Expect="100-continue"),
        "range": request("GET /v1/jobs/x/files/a.png", Range="bytes=10-19", If_None_Match="\"x\""),
        "ranges": request("GET /v1/jobs/x/files/%2e%2e/a.png", Range="bytes=0-1,5-,-3"),
        "unknown": request("DELETE /v1/jobs/x?y") + request("BREW /pot", Connection="close"),
        "old": b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n",
        "foreign": request("GET /health", Origin="http://evil.example", Authorization="Bearer x"),
    }
    return seeds.items()


def main():
    for name, seeds in [("safetensors", safetensors_seeds()), ("job", (*job_seeds(), *whole_job_seeds())), ("tokenizer", tokenizer_seeds()),
                        ("png", png_seeds()), ("jpeg", jpeg_seeds()), ("config", config_seeds()), ("video", video_seeds()),
                        ("http", http_seeds())]:
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if not path.name.startswith("found-"):
                path.unlink()
        for file, data in seeds:
            (folder / file).write_bytes(data)


if __name__ == "__main__":
    main()
