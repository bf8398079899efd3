"""The fuzzer of jobs starts from all that the schema names: no sampler, schedule or method is left for it to guess."""

import json

from hostile_tool import ROOT
from make_corpus import SCHEMA
from schema_words import names


def test_every_name_stands_in_a_seed():
    known = names(json.loads(SCHEMA.read_text()))
    assert len(known) >= 50
    seeds = "".join(path.read_text(errors="replace") for folder in ["tests/fuzz/corpus/job", "assets/jobs"]
                    for path in (ROOT / folder).iterdir())
    missing = sorted(name for name in known if f'"{name}"' not in seeds)
    assert not missing, "run python3 tests/fuzz/make_corpus.py"
