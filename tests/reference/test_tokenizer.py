"""The C++ CLIP tokenizer equals transformers' on 10,000 texts for every vocabulary (tokenizer_parity.py)."""

import json
import os
import pathlib

import pytest

import tokenizer_parity

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    path = ROOT / os.environ.get("THALWEG_BUILD", "build/release") / "tests" / "tokenize"
    assert path.is_file(), f"{path} is not built; THALWEG_BUILD names the build folder"
    return str(path)


def test_ids_equal_transformers(tool):
    names, texts, differences = tokenizer_parity.compare_all(tool, count=10_000, seed=0)
    assert len(names) == 10 and len(texts) == 10_000
    assert not differences, f"{len(differences)} differences, first:\n" + "\n".join(differences[:5])


def test_order_of_merges_matters(tool, tmp_path):
    tokenizer_parity.make_folders(tmp_path, seed=0)
    folder = tmp_path / "long-files"
    texts = tokenizer_parity.make_texts(tokenizer_parity.assigned_code_points(tool), 300, seed=1)
    assert not tokenizer_parity.compare(tool, folder, texts, padded=False)
    _, ids = tokenizer_parity.run_tool(tool, folder, texts, padded=False)
    version, *merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    (folder / "merges.txt").write_text("\n".join([version, *reversed(merges)]) + "\n", encoding="utf-8")
    _, changed = tokenizer_parity.run_tool(tool, folder, texts, padded=False)
    assert ids != changed
    assert not tokenizer_parity.compare(tool, folder, texts, padded=False)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer_config.json"])
def test_tool_names_the_broken_file(tool, tmp_path, name):
    tokenizer_parity.make_folders(tmp_path, seed=0)
    folder = tmp_path / "long-files"
    (folder / name).write_text(json.dumps(["broken"]))
    with pytest.raises(RuntimeError, match=name):
        tokenizer_parity.run_tool(tool, folder, ["a cat"], padded=True)
