"""Prints the keys and names of the job schema as words of a libFuzzer dictionary, so that no list of them is kept."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def parts(schema):
    """The schema and everything inside of it."""
    yield schema
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for part in inner:
        yield from parts(part)


def names(schema):
    """What its tags and choices may be."""
    found = (name for part in parts(schema) if isinstance(part, dict) for name in [part.get("const"), *part.get("enum", ())])
    return {name for name in found if isinstance(name, str)}


def keys(schema):
    return {key for part in parts(schema) if isinstance(part, dict) for key in part.get("properties", ())}


if __name__ == "__main__":
    job = json.loads((ROOT / "assets" / "schema" / "job.schema.json").read_text())
    for word in sorted(keys(job) | names(job)):
        print(f'"\\"{word}\\""')
