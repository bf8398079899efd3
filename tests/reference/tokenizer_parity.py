"""Holds the C++ CLIP tokenizer against transformers' CLIPTokenizer, id by id.

Small vocabularies are trained here (nothing is downloaded), saved in every layout in which such folders occur, and
both sides encode the same texts. Code points are those assigned in Unicode 15.0: the peer's word pattern and lower
case follow a newer Unicode than ICU 72, and later characters may differ.

    python tests/reference/tokenizer_parity.py [--build build/release] [--count 10000] [--seed 0]
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
NOUNS = "circle square triangle river cloud horse lantern mountain robot astronaut violin castle don't".split()
ADJECTIVES = "red green blue golden tiny huge 3d photorealistic oil-painted 4k café naïve weathered".split()
WORDS = (
    "a an the red green blue yellow big small circle square triangle left right above below of and two three one to "
    "is on in"
).split()
SCRIPTS = ["Ελληνικά ΟΔΟΣ", "Русский ТЕКСТ", "中文提示词", "日本語プロンプト", "한국어 각", "عربي", "עברית", "हिन्दी", "İstanbul ẞ ǅ ﬁ"]
EMOJI = ["🎨", "👩‍🚀", "🏳️‍🌈", "👍🏽", "❤️", "🇫🇷", "1️⃣"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'RE", "''s", "’s", "n't"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u200b", "\x1c", "\x85"]
SPECIALS = [BOS, EOS, BOS.upper(), "<|EndOfText|>", "<|", "|>", "<|endoftext", "!", "!!<|endoftext|>!", "<cat-toy>",
            "<CAT-TOY>", "zyx", "zyxw", "ZYXW", "E\u0301clair"]


def sentence(rng):
    return f"a {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}, {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"


def assigned_code_points(tool):
    """Unicode 15.0 without surrogates, which no text holds."""
    lines = subprocess.run([tool, "--assigned"], check=True, capture_output=True, text=True).stdout.splitlines()
    points = [c for line in lines for c in range(int(line.split()[0]), int(line.split()[1]) + 1)]
    points = [c for c in points if not 0xD800 <= c <= 0xDFFF]
    assert len(points) > 280_000, "the tool's list of assigned code points is cut short"
    return points


def random_text(rng, points, marks):
    """One of the shapes that prompts, and attempts to break a tokenizer, have."""
    public = [c for c in rng.choices(points, k=24) if not (0xE000 <= c <= 0xF8FF or c >= 0xF0000)]
    pieces = {
        "prompt": lambda: sentence(rng),
        "points": lambda: "".join(map(chr, rng.choices(points, k=rng.randint(1, 12)))),
        "public": lambda: "".join(map(chr, public)),
        "ascii": lambda: "".join(chr(rng.randint(0, 127)) for _ in range(rng.randint(1, 30))),
        "latin": lambda: "".join(chr(rng.randint(0x80, 0x250)) for _ in range(rng.randint(1, 12))),
        "marks": lambda: rng.choice("aeinoÅ가क") + "".join(map(chr, rng.choices(marks, k=rng.randint(1, 6)))),
        "script": lambda: rng.choice(SCRIPTS),
        "emoji": lambda: rng.choice(EMOJI),
        "contraction": lambda: rng.choice(["it", "IT", "", "!", "7"]) + rng.choice(CONTRACTIONS),
        "space": lambda: "".join(rng.choices(SPACES, k=rng.randint(1, 4))),
        "special": lambda: rng.choice(SPECIALS),
        "number": lambda: str(rng.randint(0, 10**6)) + rng.choice(["", "½", "٣", "Ⅷ", "²"]),
    }
    names = rng.choices(list(pieces), k=rng.choice([1, 1, 2, 3, 5, 8]))
    text = rng.choice(["", " "]).join(pieces[name]() for name in names)
    if rng.random() < 0.01:
        text = rng.choice([text * 40, "ab" * rng.randint(500, 3000), sentence(rng) * 50])
    return text


def make_texts(points, count, seed):
    rng = random.Random(seed)
    normal = normalizers.NFC()
    # Characters that change place or vanish after a letter: combining marks by either side's tables.
    marks = [c for c in points if 0x300 <= c <= 0x36F or 0x1DC0 <= c <= 0x1DFF or 0x20D0 <= c <= 0x20F0]
    marks += [c for c in points if normal.normalize_str("a\u0345" + chr(c)) != "a\u0345" + chr(c)]
    marks += [0x898, 0x8CA, 0xC3C, 0x10EFD, 0x1133B, 0x11930, 0x11935, 0x1E4EC, 0x1161, 0x11A8]
    edges = ["", " ", "\u0000", "\u0130", "ΟΔΟΣ", "'", "''", "<|endoftext|>", "a" * 5000, "é" * 3000, "\ufeffa", "\ufffd"]
    return edges + [random_text(rng, points, marks) for _ in range(count - len(edges))]


def every_code_point(points):
    """Each assigned code point beside a letter, a mark and a capital; private use is sampled."""
    chosen = [c for c in points if c < 0xE000 or 0xF8FF < c < 0xF0000 or c % 97 == 0]
    contexts = ["{}", "a{}\u0323", "7{} 's"]
    return [
        "".join(contexts[c % 3].format(chr(c)) for c in chosen[begin : begin + 60])
        for begin in range(0, len(chosen), 60)
    ]


def trained_vocabulary(seed, size=900):
    rng = random.Random(seed)
    tokenizer = Tokenizer(models.BPE(unk_token=EOS, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s+"), "removed"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    corpus = [sentence(rng) for _ in range(400)] + SCRIPTS * 5 + EMOJI * 5 + ["it's we're they'll i'm I'd", "ab" * 9] * 9
    tokenizer.train_from_iterator(corpus, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    # As in CLIP's own vocabulary: every byte with and without the suffix, the framing tokens last.
    tokens = ["!"] + [t for t in tokens if t != "!"] + [a + "</w>" for a in alphabet if a + "</w>" not in model["vocab"]]
    return {t: i for i, t in enumerate(tokens + [BOS, EOS])}, [tuple(m) for m in model["merges"]]


def word_vocabulary():
    """What a tiny model has: whole words, the pieces that build them, nothing else."""
    tokens, merges = {}, []
    for word in WORDS:
        symbols = list(word[:-1]) + [word[-1] + "</w>"]
        for symbol in symbols:
            tokens.setdefault(symbol, len(tokens))
        built = symbols[0]
        for symbol in symbols[1:]:
            if (built, symbol) not in merges:
                merges.append((built, symbol))
            built += symbol
            tokens.setdefault(built, len(tokens))
    for token in [BOS, EOS]:
        tokens[token] = len(tokens)
    return tokens, merges


def write_files(folder, vocabulary, merges, **json_files):
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2"] + [" ".join(merge) for merge in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, value in json_files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))


def token_entry(content, normalized, special=True):
    flags = {"lstrip": False, "rstrip": False, "single_word": False}
    return {"content": content, "normalized": normalized, "special": special, **flags}


def make_folders(root, seed):
    """Folders by name; the value says whether ids are compared padded."""
    vocabulary, merges = trained_vocabulary(seed)
    size = len(vocabulary)

    def save(name, *extra, **settings):
        tokenizer = CLIPTokenizer(vocab=settings.pop("vocab", vocabulary), merges=settings.pop("merges", merges), **settings)
        if extra:
            tokenizer.add_tokens(list(extra))
        tokenizer.save_pretrained(root / name)

    save("first-json", model_max_length=77)
    save("second-json", model_max_length=77, pad_token="!")
    # Tokens of a user's own, normalized and not, one the start of another, one beyond ASCII.
    own = [AddedToken("<Cat-toy>", normalized=True), AddedToken("zyx", normalized=False),
           AddedToken("zyxw", normalized=False), AddedToken("\u00c9clair", normalized=True)]
    save("added-json", *own, model_max_length=32)
    words, word_merges = word_vocabulary()
    save("words-json", vocab=words, merges=word_merges, model_max_length=10)

    write_files(root / "bare-files", vocabulary, merges)
    config = {"model_max_length": 1_000_000, "bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": EOS}
    write_files(root / "long-files", vocabulary, merges, tokenizer_config=config)
    # Text encoders of Stable Diffusion 3: the framing tokens are normalized in part, the second pads with "!".
    decoder = {str(size - 2): token_entry(BOS, True), str(size - 1): token_entry(EOS, False)}
    write_files(root / "decoder-files", vocabulary, merges,
                tokenizer_config={**config, "model_max_length": 77, "added_tokens_decoder": decoder})
    decoder = {"0": token_entry("!", False), **decoder, str(size - 1): token_entry(EOS, True)}
    write_files(root / "second-files", vocabulary, merges,
                tokenizer_config={**config, "model_max_length": 77, "pad_token": "!", "added_tokens_decoder": decoder})
    named = {key: token_entry(content, True) for key, content in
             [("bos_token", BOS), ("eos_token", EOS), ("unk_token", EOS)]}
    older = {"model_max_length": 77, **{k: {**v, "__type": "AddedToken"} for k, v in named.items()}}
    write_files(root / "older-files", vocabulary, merges, tokenizer_config=older,
                special_tokens_map={**named, "pad_token": "!"}, added_tokens={"<cat-toy>": size, "zyxw": size + 1})
    write_files(root / "words-files", words, word_merges, tokenizer_config={**config, "model_max_length": 12})
    return sorted(path.name for path in root.iterdir())


def run_tool(tool, folder, texts, padded):
    command = [tool, str(folder)] + ([] if padded else ["--unpadded"])
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{folder.name}: {done.stderr.strip()}")
    constants, *ids = map(json.loads, done.stdout.splitlines())
    return constants, ids


def compare(tool, folder, texts, padded):
    """Differences as text; none when both sides agree everywhere."""
    peer = CLIPTokenizer.from_pretrained(folder)
    constants, ours = run_tool(tool, folder, texts, padded)
    max_length = peer.model_max_length if peer.model_max_length < 1e20 else 77
    expected = {"max_length": max_length, "bos": peer.bos_token_id, "eos": peer.eos_token_id,
                "pad": peer.pad_token_id, "vocab_size": max(peer.get_vocab().values()) + 1}
    if constants != expected:
        return [f"{folder.name}: constants {constants}, expected {expected}"]
    padding = "max_length" if padded else False
    theirs = peer(texts, truncation=True, max_length=max_length, padding=padding)["input_ids"]
    assert len(ours) == len(theirs) == len(texts)
    return [f"{folder.name}: {text[:200]!a}\n  ours   {a[:60]}\n  theirs {b[:60]}"
            for text, a, b in zip(texts, ours, theirs) if a != b]


def compare_all(tool, count, seed):
    """Folders compared, texts in each, differences."""
    points = assigned_code_points(tool)
    texts = make_texts(points, count, seed)
    differences = []
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        names = make_folders(root, seed)
        for name in names:
            differences += compare(tool, root / name, texts, padded=name != "long-files")
        differences += compare(tool, root / "long-files", every_code_point(points), padded=False)
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
