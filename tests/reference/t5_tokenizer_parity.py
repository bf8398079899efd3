"""Holds the C++ T5 tokenizer against transformers' T5Tokenizer, id by id.

Small unigram models are trained here by SentencePiece itself (nothing is downloaded), and saved in every layout in which
such folders occur. Code points are those assigned in Unicode 15.0, as for CLIP.

    python tests/reference/t5_tokenizer_parity.py [--build build/release] [--count 10000] [--seed 0]
"""

import argparse
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from transformers import T5Tokenizer

import tokenizer_parity
from tokenizer_parity import EMOJI, SCRIPTS, sentence

# Marks and special tokens as they stand and as normalisation makes them; compatibility characters that become several.
PIECES = ["<extra_id_0>", "<extra_id_99>", "<extra_id_100>", "<extra_id_7> <extra_id_8>", "</s>", "<pad>", "<unk>",
          "\uff1cpad\uff1e", "\uff1c/s\uff1e", "\uff1cunk\uff1e", "\uff1cextra_id_3\uff1e", "\u2581", "\u2581\u2581a", "a\u2581b",
          "\ufb01\u0301", "e\u0301", "\uff76\uff9e", "\u3300", "\ufdfa", "\u1e9b\u0323", "x \u0301", "\r\n\u0301", "\u0600 a",
          "<my-token>", "\uff1cmy-token\uff1e", "hahaha", "aaaaaaa", "<", "</s", "\u200d", "\ufe0f"]


def make_texts(points, count, seed):
    """The texts that CLIP's tokenizer is tested with, and every third of them around what only T5 knows."""
    rng = random.Random(seed)
    texts = tokenizer_parity.make_texts(points, count, seed)
    return [text if i % 3 else rng.choice(["", " "]).join(rng.sample([text[:200], *rng.choices(PIECES, k=3)], k=4))
            for i, text in enumerate(texts)]


def train(seed, size=700, **options):
    """A model as T5's: pad 0, eos 1, unk 2, no bos, no byte fallback."""
    rng = random.Random(seed)
    syllables = [a + b + c for a in "bdgklmnprstv" for b in "aeiou" for c in ["", "n", "r", "s"]]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(2000)]
    corpus = [sentence(rng) + " " + " ".join(rng.choices(words, k=4)) for _ in range(1500)] + SCRIPTS * 15 + EMOJI * 10 + ["hahaha aaaa it's we're", "ab" * 9] * 15
    model = io.BytesIO()
    settings = dict(model_type="unigram", vocab_size=size, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
                    character_coverage=0.9995, hard_vocab_limit=False, num_threads=1, minloglevel=2)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, **{**settings, **options})
    return model.getvalue()


def with_pieces(model, changes):
    """The model with other pieces by index: dicts of fields."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    for index, fields in changes.items():
        for name, value in fields.items():
            setattr(proto.pieces[index], name, value)
    return proto.SerializeToString()


def write(folder, **files):
    folder.mkdir()
    for name, value in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(value) if isinstance(value, bytes) else path.write_text(json.dumps(value))


def token_entry(content, special=True, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": special, **flags}


def make_folders(root, seed):
    model = train(seed)
    sizes = len(sentencepiece_model_pb2.ModelProto.FromString(model).pieces)
    write(root / "bare-spiece", spiece__model=model)
    write(root / "nfkc-folded", spiece__model=train(seed, 500, normalization_rule_name="nmt_nfkc_cf"))
    write(root / "no-normaliser", spiece__model=train(seed, 600, normalization_rule_name="identity"))
    write(root / "no-extra-ids", spiece__model=train(seed, 400, normalization_rule_name="nfkc"),
          tokenizer_config__json={"extra_ids": 0, "tokenizer_class": "T5Tokenizer"})
    # A user's symbol and a control piece of the model; scores that tie; a piece twice.
    odd = with_pieces(model, {40: dict(piece="<my-token>", type=4), 41: dict(piece="<ctrl>", type=3),
                              **{i: dict(score=-5.0) for i in range(60, 300)}})
    write(root / "odd-pieces", spiece__model=odd)
    # As text encoders of Stable Diffusion 3 have it: every added token spelt out, blanks taken by the sentinels.
    extra = [f"<extra_id_{i}>" for i in range(100)]
    decoder = {"0": token_entry("<pad>"), "1": token_entry("</s>"), "2": token_entry("<unk>"),
               **{str(sizes + 99 - i): token_entry(t, lstrip=True, rstrip=True) for i, t in enumerate(extra)}}
    config = {"added_tokens_decoder": decoder, "additional_special_tokens": extra, "eos_token": "</s>", "extra_ids": 100,
              "legacy": True, "model_max_length": 512, "pad_token": "<pad>", "tokenizer_class": "T5Tokenizer",
              "unk_token": "<unk>", "add_prefix_space": True, "clean_up_tokenization_spaces": True}
    write(root / "spelt-out", spiece__model=model, tokenizer_config__json=config,
          special_tokens_map__json={"eos_token": token_entry("</s>")})
    older = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "additional_special_tokens": extra}
    write(root / "older", spiece__model=model, tokenizer_config__json={"extra_ids": 100}, special_tokens_map__json=older,
          added_tokens__json={"<my-token>": sizes + 100})
    for name in ["bare-spiece", "nfkc-folded", "no-normaliser", "spelt-out", "odd-pieces"]:
        T5Tokenizer.from_pretrained(root / name).save_pretrained(root / f"{name}-json")
        assert not (root / f"{name}-json" / "spiece.model").exists()
    # Both files: tokenizer.json counts.
    (root / "no-normaliser-json" / "spiece.model").write_bytes(model)
    return sorted(path.name for path in root.iterdir())


def run_tool(tool, folder, texts, length=None):
    command = [tool, "--t5", str(folder)] + ([] if length is None else [str(length)])
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{folder.name}: {done.stderr.strip()}")
    constants, *ids = map(json.loads, done.stdout.splitlines())
    return constants, ids


def compare(tool, folder, texts, length=None):
    """Differences as text; none when both sides agree everywhere."""
    peer = T5Tokenizer.from_pretrained(folder)
    constants, ours = run_tool(tool, folder, texts, length)
    expected = {"eos": peer.eos_token_id, "pad": peer.pad_token_id, "vocab_size": max(peer.get_vocab().values()) + 1}
    if constants != expected:
        return [f"{folder.name}: constants {constants}, expected {expected}"]
    settings = {} if length is None else dict(padding="max_length", max_length=length, truncation=True)
    theirs = peer(texts, add_special_tokens=True, **settings)["input_ids"]
    assert len(ours) == len(theirs) == len(texts)
    return [f"{folder.name}: {text[:200]!a}\n  ours   {a[:60]}\n  theirs {b[:60]}"
            for text, a, b in zip(texts, ours, theirs) if a != b]


def compare_all(tool, count, seed):
    """Folders compared, texts in each, differences."""
    points = tokenizer_parity.assigned_code_points(tool)
    texts = make_texts(points, count, seed)
    differences = []
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        names = make_folders(root, seed)
        for name in names:
            differences += compare(tool, root / name, texts, length=77 if name == "spelt-out" else None)
        differences += compare(tool, root / "bare-spiece", tokenizer_parity.every_code_point(points))
    return names, texts, differences


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="folder with tests/tokenize")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names, texts, differences = compare_all(f"{options.build}/tests/tokenize", options.count, options.seed)
    for difference in differences[:20]:
        print(difference)
    print(f"{len(names)} vocabularies, {len(texts)} texts each: {len(differences)} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
