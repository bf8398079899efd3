"""Jobs that break one rule each. A case is (name, bytes, place, words): where the message must point and words of it."""

import json

from base_jobs import MISSING, changed
from hostile_tool import ROOT
from job_schema import expanded

SCHEMA = expanded(json.loads((ROOT / "assets" / "schema" / "job.schema.json").read_text()))
FOREIGN = ("/config", "/architecture", "/dimensions", "/rank_pattern", "/alpha_pattern", "/kinds")  # objects whose keys are someone else's
WRONG = {"object": [None, True, 7, "t", []], "array": [None, True, 7, "t", {}], "string": [None, True, 7, 1.5, [], {}],
         "integer": [None, True, "7", 1.5, 1e300, [], {}], "number": [None, True, "7", [], {}],
         "boolean": [None, 0, 1, "true", [], {}]}


def alternative(schema, value):
    """The alternative of `oneOf` that the object picks by its tag (the key with a constant); the first without one."""
    if "oneOf" not in schema:
        return schema
    tag = next(key for key, inner in schema["oneOf"][0]["properties"].items() if "const" in inner)
    wanted = value.get(tag) if isinstance(value, dict) else None
    known = [a for a in schema["oneOf"] if a["properties"][tag].get("const") == wanted]
    return (known or schema["oneOf"])[0]


def keys_of(schema, value, pointer=""):
    """(pointer, schema, required) of every key that a job may have, below `pointer`."""
    schema = alternative(schema, value)
    for key, inner in schema.get("properties", {}).items():
        place = f"{pointer}/{key}"
        yield place, inner, key in schema.get("required", ())
        below = value.get(key) if isinstance(value, dict) else None
        if inner.get("type") == "object":
            yield from keys_of(inner, below, place)
        if inner.get("type") == "array" and inner.get("items", {}).get("type") == "object":
            row = below[0] if isinstance(below, list) and below else {}
            yield from keys_of(inner["items"], row, f"{place}/0")


def spoilt_values(schema):
    kind = schema.get("type", "string")  # a tag has a constant and no type
    yield from WRONG[kind]
    if kind in ("integer", "number"):
        step = 1 if kind == "integer" else 1e-3 + abs(schema.get("minimum", 0)) * 1e-3
        for bound, side in [("minimum", -1), ("maximum", 1)]:
            if bound in schema:
                yield schema[bound] + side * step if abs(schema[bound]) < 1e15 else schema[bound] + side * 1
        yield from [2**63, 2**64 - 1, -(2**63), 10**30, -(10**30)]
    if "const" in schema or "enum" in schema:
        known = [schema["const"]] if "const" in schema else schema["enum"]
        yield from {"", "nonsense", known[-1].upper()} - set(known)
    if kind == "string":
        yield "a\0b"


def of_the_keys(jobs):
    """Each key of each kind of job: values of another type, out of bounds or unknown, and the key left out."""
    for kind, job in jobs.items():
        for pointer, schema, required in keys_of(SCHEMA, job):
            if pointer.endswith("/0/config") or "/0/dimensions/" in pointer:
                continue
            if "/loras/0/" in pointer and "loras" not in job["model"]:
                continue  # a file of the list has to be there before
            for value in spoilt_values(schema):
                yield f"{kind} {pointer} = {str(value)[:20]}", encoded(changed(job, pointer, value)), pointer, ""
            if required and "const" not in schema:  # without a tag the first alternative is meant
                yield f"{kind} without {pointer}", encoded(changed(job, pointer, MISSING)), pointer, "is missing"
            if schema.get("type") == "object" and not pointer.endswith(FOREIGN):
                for key in ["zzz", "", "a/b", "~", "\u0000", "k" * 300]:
                    yield f"{kind} {pointer} and {key[:9]!a}", encoded(with_key(job, pointer, key)), pointer, "unknown key"


def with_key(job, pointer, key):
    job = changed(job, pointer + "/zzz", 1)
    place = job
    for part in pointer.split("/")[1:]:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[key] = place.pop("zzz")
    return job


def encoded(job):
    return json.dumps(job).encode()


def of_the_text(job):
    """Bytes that are no job at all; the place is the file's."""
    text = encoded(job)
    yield "empty", b"", None, "not valid JSON"
    yield "blank", b" \n", None, "not valid JSON"
    for size in range(1, len(text), max(1, len(text) // 60)):
        yield f"cut at {size}", text[:size], None, "not valid JSON"
    for name, tail in [("brace", b"}"), ("object", b"{}"), ("letter", b"x"), ("NUL", b"\0"), ("comma", b","), ("comment", b"//x")]:
        yield f"{name} behind", text + tail, None, "not valid JSON"
    for name, old, new in [("comment", b"{", b"{/**/"), ("line comment", b"{", b"{//\n"), ("single quotes", b'"', b"'"),
                           ("trailing comma", b"}", b",}"), ("no colon", b":", b" "), ("bare key", b'"version"', b"version")]:
        yield name, text.replace(old, new, 1), None, "not valid JSON"
    for value in ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "01", "0x10", "+1", ".5", "1.", "1e", "--1", "1_000", "True", "None",
                  "undefined", '"\\x41"', '"\\ud800"', '"\\udc00\\ud800"', '"\t"', '"a\nb"', '"', "[", "{", "[1,]", "'a'", "\u2018a\u2019"]:
        yield f"value {value!a}", text.replace(b'"seed": 3', b'"seed": ' + value.encode()), None, "not valid JSON"
    for name, raw in [("lone byte", b"\x80"), ("latin-1", b"caf\xe9"), ("overlong", b"\xc0\xaf"), ("surrogate", b"\xed\xa0\x80"),
                      ("above U+10FFFF", b"\xf4\x90\x80\x80"), ("cut", b"\xe2\x82"), ("utf-16", "a".encode("utf-16"))]:
        yield f"not UTF-8: {name}", text.replace(b'"seed": 3', b'"seed": "' + raw + b'"'), None, "not valid JSON"
    yield "UTF-16", text.decode().encode("utf-16"), None, "not valid JSON"
    yield "UTF-32", text.decode().encode("utf-32"), None, "not valid JSON"
    yield "byte order mark", b"\xef\xbb\xbf" + text, None, "byte order mark"
    yield "pickle", b"\x80\x04}q\x00.", None, "not valid JSON"
    yield "YAML", b"version: 1\njob: sample\n", None, "not valid JSON"
    for depth in [64, 1000, 1_000_000]:
        for opening in [b"[", b'{"a":']:
            words = "nested deeper than 64 levels" if depth * len(opening) < 4 << 20 else "is larger than"
            yield f"{depth} levels of {opening}", b'{"a":' + opening * depth, None, words
            yield f"{depth} levels, second", b'{"a":[1],"b":' + opening * depth, None, words
    for size in [4 << 20, 64 << 20, 65 << 20]:
        yield f"{size} bytes", text + b" " * size, None, "is larger than the 4194304 bytes allowed"
    for key in ["version", "job", "model", "seed"]:
        yield f"{key} twice", text[:-1] + f', "{key}": 1}}'.encode(), None, f'the key "{key}" is given twice'
        escaped = "".join(f"\\u{ord(c):04x}" for c in key)
        yield f"{key} twice, escaped", text[:-1] + f', "{escaped}": 1}}'.encode(), None, f'the key "{key}" is given twice'
    yield "twice, deep", text.replace(b'"path"', b'"path": "a", "path"', 1), None, 'the key "path" is given twice'
    yield "long key twice", b'{"' + b"k" * 10**6 + b'":1,"' + b"k" * 10**6 + b'":2}', None, "is given twice"
    yield "control key twice", b'{"\\u001b[2J":1,"\\u001b[2J":2}', None, 'the key "?[2J" is given twice'
    for value in [b"[]", b"7", b"null", b"true", b'"text"', b"-0", b"1e5"]:
        yield f"is {value}", value, "/", "must be an object"
    yield "is an empty object", b"{}", "/version", "is missing"


def of_the_masses(job):
    """Large, and refused soon."""
    text = encoded(job)[:-1]
    many = ",".join(f'"k{i}":0' for i in range(280_000))
    yield "280,000 unknown keys", text + b"," + many.encode() + b"}", "/k0", "unknown key"
    yield "280,000 keys, one twice", text + b"," + many.encode() + b',"k7":0}', None, 'the key "k7" is given twice'
    yield "unknown key of 4 MB", text + b',"' + b"k" * (4 * 10**6) + b'":0}', "/kkk", "unknown key"
    yield "tag of 4 MB", encoded(changed(job, "/job", "x" * (4 * 10**6))), "/job", "knows no"
    rows = ",".join(["{}"] * 1_300_000)
    yield "1,300,000 rewards", encoded(changed(job, "/rewards", "ROWS")).replace(b'"ROWS"', f"[{rows}]".encode()), "/rewards/0/plugin", "is missing"
    texts = ",".join(['""'] * 1_300_000) + ",7"
    yield "1,300,000 prompts, one a number", encoded(changed(job, "/prompts/texts", "T")).replace(b'"T"', f"[{texts}]".encode()), "/prompts/texts/1300000", "must be a text"
    yield "numbers", encoded(changed(job, "/rewards", "N")).replace(b'"N"', b"[" + b"0," * 2_000_000 + b"0]"), "/rewards/0", "must be an object"


def of_the_sense(jobs):
    """Values that are well formed each, and do not go together or lead nowhere."""
    for kind, pointer, value, place, words in [
        ("sample", "/prompts", {}, "/prompts", "either texts or path"),
        ("sample", "/prompts", {"texts": ["a"], "path": "p"}, "/prompts", "either texts or path"),
        ("sample", "/sampler/noise_level", 0.5, "/sampler/noise_level", "unknown key"),
        ("sample", "/sampler/window", {}, "/sampler/window", "unknown key"),
        ("sample", "/sampler", {"name": "flow_sde", "window": {"begin": 999}}, "/sampler/window/begin", "outside of the schedule"),
        ("sample", "/sampler", {"name": "cps", "window": {"size": 1000}}, "/sampler/window/size", "outside of the schedule"),
        ("sample", "/sampler/guidance_interval", {"begin": 999, "size": 1000}, "/sampler/guidance_interval/begin", "outside of the schedule"),
        ("sample", "/sampler/guidance_interval", {"size": 1000}, "/sampler/guidance_interval/size", "outside of the schedule"),
        ("sample", "/sampler/height", 10**9, "/sampler/height", "must be from 1 to 8192"),
        ("sample", "/sampler/width", -1, "/sampler/width", "must be from 1 to 8192"),
        ("sample", "/sampler/frames", 10**6, "/sampler/frames", "must be from 1 to 1024"),
        ("sample", "/images_per_prompt", 10**9, "/images_per_prompt", "must be from 1"),
        ("sample", "/parallel", {"micro_batch": 10**9}, "/parallel/micro_batch", "must be from 1"),
        ("sample", "/parallel", {"workers": 10**9}, "/parallel/workers", "must be from 0"),
        ("sample", "/output", "", "/output", "must name a folder"),
        ("sample", "/model/lora", {}, "/model/lora/path", "is missing"),
        ("sample", "/method", {"name": "flow_grpo"}, "/method", "unknown key"),
        ("sample", "/iterations", 3, "/iterations", "unknown key"),
        ("score", "/images", "x", "/images", "either images or frames"),
        ("score", "/rewards", [], "/rewards", "names no reward"),
        ("score", "/rewards/0/plugin", "../../nowhere/passwd", "/rewards/0/plugin", "there is no file"),
        ("score", "/rewards/0/plugin", "/dev/zero", "/rewards/0/plugin", "is not a file"),
        ("score", "/rewards/0/isolation", "thread", "/rewards/0/isolation", "knows no"),
        ("evaluate", "/sampler", {"name": "flow_ode"}, "/sampler", "unknown key"),
        ("evaluate", "/rewards", [], "/rewards", "names no reward"),
        ("align", "/method/name", "diffusion_nft", "/method/clip_range", "unknown key"),
        ("align", "/sampler", {"name": "flow_ode"}, "/sampler", "flow_sde"),
        ("align", "/method/group_size", 1, "/method/group_size", "must be from 2"),
        ("align", "/sampler/noise_level", 0, "/sampler/noise_level", "must be above 0"),
        ("align", "/sampler/window/size", 1000, "/sampler/window/size", "outside of the schedule"),
        ("align", "/sampler/guidance_interval", {"begin": 999}, "/sampler/guidance_interval/begin", "outside of the schedule"),
        ("align", "/sampler/window/begin", 999, "/sampler/window/begin", "leaves no step"),
        ("align", "/rewards", [], "/rewards", "names no reward"),
        ("align", "/prompts/texts", ["a"], "/prompts/texts", "unknown key"),
        ("pretrain", "/model", {"path": "x"}, "/model", "unknown key"),
        ("pretrain", "/architecture/vae", 7, "/architecture/vae", "config.json"),
        ("pretrain", "/architecture/transformer/num_layers", 10**9, "/architecture/transformer", "num_layers"),
        ("pretrain", "/architecture/transformer/patch_size", 0, "/architecture/transformer", "patch_size"),
        ("pretrain", "/architecture/transformer/sample_size", 1, "/architecture/transformer", "sample_size"),
        ("pretrain", "/architecture/transformer/pos_embed_max_size", 4096, "/architecture/transformer", "pos_embed_max_size"),
        ("pretrain", "/architecture/text_encoder/hidden_size", 2**70, "/architecture/text_encoder", "hidden_size"),
        ("pretrain", "/architecture/vae/block_out_channels", [1] * 9, "/architecture/vae", "block_out_channels"),
        ("pretrain", "/architecture/vae/scaling_factor", 0, "/architecture/vae", "scaling_factor"),
        ("pretrain", "/data/size", 10**6, "/data/size", "must be from 8"),
    ]:
        yield f"{kind} {pointer} = {str(value)[:30]}", encoded(changed(jobs[kind], pointer, value)), place, words
    for kind, job in jobs.items():
        for pointer in ["/model/path", "/model/lora/path", "/prompts/path", "/prompts/train", "/prompts/select", "/prompts/eval", "/frames",
                        "/latents"]:
            place = job
            for key in pointer.split("/")[1:]:
                place = place.get(key, {}) if isinstance(place, dict) else {}
            if place == {}:
                continue
            for path in ["nowhere", "n" * 900, "nowhere/../..", "/proc/self/fd/999", "\u202e", "http://127.0.0.1/x", "file:///etc/passwd"]:
                yield f"{kind} {pointer} = {path[:20]!a}", encoded(changed(job, pointer, path)), pointer, "does not exist"


def of_the_shipped():
    """The shipped jobs, with one key of each depth renamed."""
    for path in sorted((ROOT / "assets" / "jobs").glob("*.json")):
        job = json.loads(path.read_text())
        for key in list(job):
            spoilt = {(k + "_" if k == key else k): v for k, v in job.items()}
            yield f"{path.name}: {key}_", encoded(spoilt), None, ""
