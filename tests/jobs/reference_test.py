"""docs/jobs.md and the schema in the tree are what the program says of itself, and the examples there are jobs.

THALWEG_PROGRAM names the program (default build/release/thalweg).
"""
import json
import re
import subprocess

import jsonschema
import make_job_reference as make
import pytest
from job_schema import expanded
from make_job_reference import ROOT
from stand_ins import stand_ins

REMEDY = "is out of date: run python3 docs/make_job_reference.py"

EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", make.REFERENCE.read_text(), re.DOTALL)]
SHIPPED = sorted((ROOT / "assets" / "jobs").glob("*.json"))


@pytest.fixture(scope="module")
def printed():
    assert make.program().is_file(), f"{make.program()} is not built; THALWEG_PROGRAM names the program"
    return make.printed_schema()


def keys_of(schema):
    """Every key that a schema lets in, at any depth."""
    if isinstance(schema, list):
        return {key for part in schema for key in keys_of(part)}
    if not isinstance(schema, dict):
        return set()
    found = set(schema.get("properties", {}))
    for part in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("oneOf")):
        found |= keys_of(part)
    return found


def validate(job, folder):
    """`thalweg validate` of a job whose model and pictures are given by empty stand-ins."""
    (folder / "model_index.json").write_text("{}")
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    settings = [f"--set=/{section}={folder}" for section in ("model/path", "images") if section.split("/")[0] in job]
    return subprocess.run([make.program(), "validate", path, *settings], capture_output=True, text=True, cwd=ROOT,
                          timeout=60)


def test_the_schema_is_a_schema(printed):
    jsonschema.Draft7Validator.check_schema(json.loads(printed))


def test_the_schema_in_the_tree_is_the_programs(printed):
    assert make.SCHEMA.read_text() == printed, f"{make.SCHEMA} {REMEDY}"


def test_the_reference_is_up_to_date(printed):
    assert make.REFERENCE.read_text() == make.render(json.loads(printed)), f"{make.REFERENCE} {REMEDY}"


def test_every_key_is_in_the_reference(printed):
    pointers = re.findall(r"^\| `(/\S+)` \|", make.REFERENCE.read_text(), re.MULTILINE)
    assert keys_of(expanded(json.loads(printed))) == {pointer.rsplit("/", 1)[1] for pointer in pointers}


def test_a_changed_default_is_noticed(printed):
    schema = json.loads(printed)
    next(job for job in schema["oneOf"] if "seed" in job["properties"])["properties"]["seed"]["default"] = 12345
    assert make.REFERENCE.read_text() != make.render(schema)


@pytest.mark.parametrize("job", EXAMPLES, ids=[job["job"] for job in EXAMPLES])
def test_examples_are_jobs(job, printed, tmp_path):
    jsonschema.validate(job, json.loads(printed))
    done = validate(job, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_shipped_jobs_fit_the_schema(path, printed):
    jsonschema.validate(json.loads(path.read_text()), json.loads(printed))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_shipped_jobs_are_valid(path):
    done = subprocess.run([make.program(), "validate", path, *stand_ins(json.loads(path.read_text()))], capture_output=True, text=True,
                          cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr


def test_an_unknown_key_fits_neither(printed, tmp_path):
    job = {**EXAMPLES[0], "sede": 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, json.loads(printed))
    done = validate(job, tmp_path)
    assert done.returncode == 2 and "/sede" in done.stderr and "seed" in done.stderr
