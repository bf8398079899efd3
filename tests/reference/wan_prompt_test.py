"""Wan's text before the encoder: prompts cleaned as diffusers does (without ftfy), ids of UMT5's kind of tokenizer."""

import html.entities
import json
import random
import subprocess

import pytest
from diffusers.pipelines.wan import pipeline_wan
from sentencepiece import sentencepiece_model_pb2

import t5_tokenizer_parity as parity
from test_tokenizer import tool  # noqa: F401 (fixture)

ODD = ["&", "&&", "&;", "&#", "&#;", "&#x", "&#x;", "&#xg", "&#38", "&#38;;", "&#x26;amp;", "&amp;amp;lt;", "&ampamp;",
       "&notit;", "&notin;", "&NotEqualTilde;", "&CounterClockwiseContourIntegral;x", "&acE;", "&#0;", "&#13;", "&#11;",
       "&#12;", "&#9;", "&#27;", "&#127;", "&#128;", "&#x9f;", "&#x81;", "&#xD800;", "&#xdfff;", "&#x110000;",
       "&#99999999999999999999;", "&#xfffe;", "&#x1ffff;", "&#xfdd0;", "&#xfdef;", "&#xFDF0;", "&lt", "&lT", "&l", "&g t;",
       "&" + "a" * 40 + ";", "&" + "\u00e9" * 40 + ";", "&amp\u00e9;", "&lt\u00e9\u00e9", "&AMP", "&Aacute", "&abreve", "&amp#38;",
       "\x1c a \x1c", "a\x1c\x1db", "\u00a0a\u2003\u3000b\u0085", "\ufeff a \ufeff", "\u200b a", " ", "", "&nbsp;a&nbsp;",
       "a&#160;&emsp;b", "&#28;a&#31;", "\r\n\ta\r\n\tb", "&amp;nbsp;x", "\U0001f600 &#x1F600;", "&Tab;a&NewLine;b"]


def cleaned(tool, texts):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([tool, "--wan-clean"], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def make_texts(count):
    rng = random.Random(3)
    names = ["&" + name for name in html.entities.html5]
    bare = ["&" + name.rstrip(";") for name in html.entities.html5]
    numbers = [f"&#{rng.randrange(0x3000)};" for _ in range(500)] + [f"&#x{rng.randrange(0x120000):x}" for _ in range(500)]
    pieces = ODD + names + bare + numbers + ["a red circle", "ab", "&amp;", " ", "\n"]
    return pieces + ["".join(rng.choices(pieces, k=rng.randint(2, 6))) for _ in range(count)]


def test_cleaned_as_diffusers_does(tool):
    assert not pipeline_wan.is_ftfy_available(), "with ftfy diffusers mends mistaken encodings too"
    texts = make_texts(5000)
    expected = [pipeline_wan.prompt_clean(text) for text in texts]
    assert sum(text != clean for text, clean in zip(texts, expected)) > len(texts) / 2
    different = [(text, ours, clean) for text, ours, clean in zip(texts, cleaned(tool, texts), expected) if ours != clean]
    assert not different, f"{len(different)} of {len(texts)}: {different[:5]!a}"


def test_text_that_is_not_utf8(tool):
    done = subprocess.run([tool, "--wan-clean"], input=b'"\xff"\n', capture_output=True)
    assert done.returncode == 1


@pytest.mark.parametrize("layout", ["spiece", "json"])
def test_ids_of_a_tokenizer_like_umt5s(layout, tool, tmp_path):
    """UMT5's: pieces of bytes in the vocabulary, 300 sentinels behind it; padded and cut as the pipeline does."""
    model = parity.train(5, size=900, byte_fallback=True)
    kinds = {piece.type for piece in sentencepiece_model_pb2.ModelProto.FromString(model).pieces}
    assert 6 in kinds  # bytes
    parity.write(tmp_path / "spiece", spiece__model=model, tokenizer_config__json={
        "extra_ids": 300, "tokenizer_class": "T5Tokenizer", "model_max_length": 512})
    folder = tmp_path / "spiece"
    if layout == "json":
        folder = tmp_path / "json"
        parity.T5Tokenizer.from_pretrained(tmp_path / "spiece").save_pretrained(folder)
        assert not (folder / "spiece.model").exists()
    texts = parity.make_texts(parity.tokenizer_parity.assigned_code_points(tool), 3000, seed=11)
    texts = texts + cleaned(tool, texts)
    for length in [None, 24]:
        differences = parity.compare(tool, folder, texts, length)
        assert not differences, f"{len(differences)} differences, first:\n" + "\n".join(differences[:5])
