"""The job schema accepts and refuses what `thalweg validate` does.

A schema sees one value at a time, so rules between values (texts or path, a window inside the steps) and everything
about files and plugins are the program's alone; no row here is about those.
"""

import json

import jsonschema
import pytest
from base_jobs import MISSING, base_jobs, changed
from job_schema import expanded
from program import ROOT, thalweg, validated

# Kind, pointer, value: single changes of a valid job. The last entry: whether the job is still valid.
CHANGES = [
    ("sample", "/seed", 0, True),
    ("sample", "/seed", 2**63 - 1, True),
    ("sample", "/seed", 2**63, False),
    ("sample", "/seed", -1, False),
    ("sample", "/seed", MISSING, True),
    ("sample", "/seed", None, False),
    ("sample", "/seed", "3", False),
    ("sample", "/seed", 3.5, False),
    ("sample", "/version", 2, False),
    ("sample", "/version", MISSING, False),
    ("sample", "/job", "evaluate", False),
    ("sample", "/job", "sampel", False),
    ("sample", "/job", MISSING, False),
    ("sample", "/output", MISSING, False),
    ("sample", "/output", "", None),  # the program alone says that it must name a folder
    ("sample", "/extra", 1, False),
    ("sample", "/model/lora", {}, None),  # a rule of `sample` alone
    ("sample", "/model/lora/rank", 4096, True),
    ("sample", "/model/lora/rank", 4097, False),
    ("sample", "/model/lora/alpha", 0, False),
    ("sample", "/model/lora", MISSING, True),
    ("sample", "/model/lora", None, False),
    ("sample", "/model/path", MISSING, False),
    ("sample", "/model/dtype", "float64", False),
    ("sample", "/model/max_sequence_length", 0, True),
    ("sample", "/prompts/limit", 3, True),
    ("sample", "/prompts/texts", ["a", "b"], True),
    ("sample", "/prompts/texts", "a", False),
    ("sample", "/prompts/texts/0", None, False),
    ("sample", "/sampler", MISSING, True),
    ("sample", "/sampler", {}, True),
    ("sample", "/sampler", {"steps": 4}, True),
    ("sample", "/sampler", {"steps": 4, "noise_level": 0.7}, False),
    ("sample", "/sampler", {"name": "flow_sde", "noise_level": 0.7}, True),
    ("sample", "/sampler", {"name": "flow_sde", "window": {}}, True),
    ("sample", "/sampler", {"name": "flow_sde", "window": {"start": 1}}, False),
    ("sample", "/sampler", {"name": "ddim"}, False),
    ("sample", "/sampler/guidance_scale", 0, True),
    ("sample", "/sampler/guidance_scale", 100, True),
    ("sample", "/sampler/guidance_scale", 100.001, False),
    ("sample", "/sampler/guidance_scale", "4", False),
    ("sample", "/sampler/height", 8193, False),
    ("sample", "/save_frames", "yes", False),
    ("sample", "/combine", {}, True),
    ("sample", "/combine/name", "mean", False),
    ("sample", "/rewards", {}, False),
    ("sample", "/rewards", [], True),
    ("sample", "/rewards/0/config", [], False),
    ("sample", "/rewards/0/config", {"channel": "green", "of": {"any": ["depth"]}}, True),
    ("sample", "/rewards/0/isolation", "thread", False),
    ("sample", "/rewards/0/isolation", "", True),
    ("sample", "/rewards/0/dimensions", {"redness": -1e6}, True),
    ("sample", "/rewards/0/dimensions", {"redness": 1e7}, False),
    ("sample", "/rewards/0/transform", {}, True),
    ("sample", "/rewards/0/transform", {"name": "affine", "scale": 2, "shift": -1}, True),
    ("sample", "/rewards/0/transform", {"name": "log_sigmoid", "scale": 2}, False),
    ("sample", "/rewards/0/transform", {"name": "affine", "clip": {"low": 0, "high": 1}}, True),
    ("score", "/batch_size", 0, False),
    ("score", "/model", {"path": "x"}, False),
    ("score", "/rewards", MISSING, False),
    ("evaluate", "/guidance", [], True),
    ("evaluate", "/guidance/0", {}, False),
    ("evaluate", "/guidance/0", 1.0, False),
    ("evaluate", "/pictures", 1025, False),
    ("align", "/method", {"name": "diffusion_nft", "clip_range": 1.0}, False),
    ("align", "/method", {}, False),
    ("align", "/method", {"clip_range": 1e-4}, False),
    ("align", "/method", {"name": "flow_grpo"}, True),
    ("align", "/method/kl_scale", "std", True),
    ("align", "/method/kl_scale", "variance", False),
    ("align", "/method/group_size", 4.0, None),  # an integer to draft 7, not to the program
    ("align", "/optimizer/schedule", "exponential", False),
    ("align", "/optimizer/learning_rate", 1, True),
    ("align", "/prompts/select", MISSING, None),
    ("align", "/ema_decay", 1.0001, False),
    ("pretrain", "/architecture/anything", {"goes": 1}, True),
    ("pretrain", "/architecture", None, False),
    ("pretrain", "/vae/steps", 1e3, None),
    ("pretrain", "/save_dtype", "float16", True),
    ("pretrain", "/flow/caption_dropout", 1, True),
]


@pytest.fixture(scope="module")
def schema():
    done = thalweg("schema")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    return base_jobs(tmp_path_factory.mktemp("jobs"))


def accepts(schema, job):
    return jsonschema.Draft7Validator(schema).is_valid(job)


def test_schema_is_draft_7(schema):
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema)


def walk(schema, pointer=""):
    yield pointer, schema
    for key, below in schema.get("properties", {}).items():
        yield from walk(below, f"{pointer}/{key}")
    for i, branch in enumerate(schema.get("oneOf", [])):
        yield from walk(branch, f"{pointer}<{i}>")
    if "items" in schema:
        yield from walk(schema["items"], f"{pointer}/0")


def test_every_value_is_bounded_and_described(schema):
    for pointer, part in walk(expanded(schema)):
        if part.get("type") in ("integer", "number"):
            assert part["minimum"] <= part.get("default", part["minimum"]) <= part["maximum"], pointer
        if pointer and not pointer.endswith((">", "/0")):
            assert part.get("description") or "const" in part, pointer
        if "properties" in part:
            assert part["additionalProperties"] is False, pointer
        if "default" in part:
            assert jsonschema.Draft7Validator(part).is_valid(part["default"]), pointer


def test_shipped_jobs(schema):
    files = sorted((ROOT / "assets" / "jobs").glob("*.json"))
    assert files
    for path in files:
        assert accepts(schema, json.loads(path.read_text())), path


@pytest.mark.parametrize("kind", ["sample", "score", "evaluate", "align", "train_reward", "pretrain"])
def test_whole_job_of_each_kind(kind, schema, jobs):
    jsonschema.validate(jobs[kind], schema, jsonschema.Draft7Validator)


@pytest.mark.parametrize("kind,pointer,value,valid", CHANGES,
                         ids=[f"{c[0]}{c[1]}={'MISSING' if c[2] is MISSING else json.dumps(c[2])[:40]}" for c in CHANGES])
def test_schema_agrees_with_program(kind, pointer, value, valid, schema, jobs, tmp_path):
    job = changed(jobs[kind], pointer, value)
    (tmp_path / "job.json").write_text(json.dumps(job))
    done = validated(tmp_path / "job.json")
    assert done.returncode in (0, 2), done.stderr
    program, scheme = done.returncode == 0, accepts(schema, job)
    if valid is None:
        assert not program or scheme, done.stderr  # never stricter than the program
    else:
        assert (program, scheme) == (valid, valid), done.stderr
