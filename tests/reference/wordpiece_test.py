"""BERT's tokenizer against transformers' on a vocabulary made here: words, pieces, marks of every script, single characters."""

import json
import random
import subprocess
import unicodedata

import pytest
from parity_tool import BUILD
from tokenizer_parity import assigned_code_points, make_texts
from transformers import BertTokenizer
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
WORDS = ("a an the red green blue big small circle square triangle cat dog cafe naive un the ο οδος текст 中 文 本 한 i istanbul "
         "photo don t s it 3d 4k river cloud horse lantern mountain robot castle").split()
PIECES = "ing ed s ly able aff believ able οσ ς σ т ст е 文 x y z able circle cat".split()
EDGES = ["", " ", "a red circle", "A RED Circle!", "unaffable", "unbelievably", "café naïve CAFÉ", "Ångström",
         "İstanbul ISTANBUL", "ΟΔΟΣ", "中文", "a中b", "日本語プロンプト", "한국어", "don't it's", "a,b.c;d", "$5+3=<8>^`|~",
         "a\u200bb\u00adc", "a\ufffdb\x00c\x85d", "\u2028a\u2029b\u3000c\u00a0d", "x" * 100, "x" * 101, "é" * 100, "é" * 101,
         "cat" * 33, "cat" * 34, "[CLS] [SEP] [MASK]", "a[SEP]b", "[sep]", "[DEC][ENC]", "[UNK", "a [PAD] b", "ﬁ ½ Ⅷ ² ①",
         "👩‍🚀 a 🇫🇷", "e\u0301\u0323 a\u0345", "\U0002f800 \uf900 \U00020000", "\ufeffa", "“quoted” — dash… ¿qué?",
         "a red circle " * 40, "un" * 60, "\u1e9e ß ǅ", "क्षि हिन्दी"]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    letters = [chr(c) for c in range(0x21, 0x7F) if not chr(c).isupper()]
    letters += list("αβγδεζηθικλμνξοπρστυφχψωςабвгдежзийклмно的人日本語")
    pieces = SPECIAL + list(dict.fromkeys(WORDS)) + ["##" + piece for piece in dict.fromkeys(PIECES)]
    pieces += [letter for letter in letters if letter not in pieces]
    pieces += ["##" + letter for letter in letters[40:] if "##" + letter not in pieces]
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return path


def peer(path):
    ids = {piece: i for i, piece in enumerate(path.read_text(encoding="utf-8").splitlines())}
    tokenizer = BertTokenizer(vocab=ids)
    tokenizer.add_special_tokens({"bos_token": "[DEC]", "additional_special_tokens": ["[ENC]"]})  # as BLIP does
    assert len(tokenizer) == len(ids)
    return tokenizer


def ours(path, texts, length):
    done = subprocess.run([BUILD / "tests/tokenize", "--wordpiece", path, str(length)], capture_output=True, text=True,
                          input="".join(json.dumps(text) + "\n" for text in texts))
    assert done.returncode == 0, done.stderr
    constants, *ids = map(json.loads, done.stdout.splitlines())
    return constants, ids


def differences(path, texts, length):
    constants, found = ours(path, texts, length)
    theirs = peer(path)(texts, truncation=True, max_length=length)["input_ids"]
    assert constants == {"vocab_size": len(peer(path))} and len(found) == len(texts)
    return [f"{text[:80]!a}\n  ours   {a[:40]}\n  theirs {b[:40]}" for text, a, b in zip(texts, found, theirs) if a != b]


@pytest.fixture(scope="module")
def agreed(vocabulary):
    """The code points that alone, between letters, are the same to the peer; and the others."""
    points = assigned_code_points(BUILD / "tests/tokenize")
    texts = [f"s{chr(c)}s" for c in points]
    theirs = peer(vocabulary)(texts)["input_ids"]
    same = [a == b for a, b in zip(ours(vocabulary, texts, 16)[1], theirs)]
    return [c for c, yes in zip(points, same) if yes], [c for c, yes in zip(points, same) if not yes]


def test_other_code_points_are_as_in_berts_own_code(agreed, vocabulary):
    """The library tokenizers has tables of an old Unicode, and a slip in a block's first ideograph."""
    others = [c for c in agreed[1] if unicodedata.category(chr(c)) != "Cn"]  # what this Python's tables know
    texts, legacy = [f"s{chr(c)}s" for c in others], BertTokenizerLegacy(str(vocabulary))
    assert ours(vocabulary, texts, 16)[1] == [legacy(text)["input_ids"] for text in texts]
    assert len(agreed[1]) < 1000 and not any(chr(c).isalnum() and not 0x2B820 <= c < 0x2B920 for c in others)


@pytest.mark.parametrize("length", [2, 3, 35, 512])
def test_ids_equal_transformers(length, agreed, vocabulary):
    others = set(map(chr, agreed[1]))
    texts = EDGES + [t for t in make_texts(agreed[0], 2000, seed=length) if not others.intersection(t)]
    wrong = differences(vocabulary, texts, length)
    assert not wrong, f"{len(wrong)} of {len(texts)}\n" + "\n".join(wrong[:5])


def test_random_words_of_pieces(vocabulary):
    rng = random.Random(3)
    parts = WORDS + PIECES + list("abcxyz")
    texts = [" ".join("".join(rng.choices(parts, k=rng.randint(1, 5))) for _ in range(8)) for _ in range(400)]
    assert not differences(vocabulary, texts, 64)


@pytest.mark.parametrize("content,said", [
    (None, "no such file"), (b"[UNK]\n[CLS]\na\n", "has no [SEP]"), (b"", "has no [UNK]"), (b"[UNK]\n[CLS]\n[SEP]\na\na\n", "line 5"),
    (b"[UNK]\n[CLS]\n[SEP]\n\xff\n", "is not UTF-8")], ids=["absent", "no end", "empty", "twice", "bytes"])
def test_refused(content, said, tmp_path):
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content)
    done = subprocess.run([BUILD / "tests/tokenize", "--wordpiece", path, "35"], capture_output=True, text=True, input="")
    assert done.returncode == 1 and str(path) in done.stderr and said in done.stderr, done.stderr


def test_lines_that_end_as_on_windows(vocabulary, tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(vocabulary.read_bytes().replace(b"\n", b"\r\n")[:-2])
    assert ours(path, EDGES, 35) == ours(vocabulary, EDGES, 35)
