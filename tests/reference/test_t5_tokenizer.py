"""The C++ T5 tokenizer equals transformers' on 10,000 texts for every vocabulary (t5_tokenizer_parity.py)."""

import json

import pytest
from sentencepiece import sentencepiece_model_pb2

import t5_tokenizer_parity as parity
from test_tokenizer import tool  # noqa: F401 (fixture)


def test_ids_equal_transformers(tool):
    names, texts, differences = parity.compare_all(tool, count=10_000, seed=0)
    assert len(names) == 12 and len(texts) == 10_000
    assert not differences, f"{len(differences)} differences, first:\n" + "\n".join(differences[:5])


@pytest.mark.parametrize("length", [1, 2, 7, 300])
def test_padded_and_cut(tool, tmp_path, length):
    parity.write(tmp_path / "t5", spiece__model=parity.train(0))
    texts = ["", " ", "a red circle", "hahaha " * 40, "a </s> b <extra_id_5>", "\u00a0\t\n\u3000x"]
    assert not parity.compare(tool, tmp_path / "t5", texts, length)


def test_scores_and_rules_matter(tool, tmp_path):
    """The same pieces with other scores, or without the rules of normalisation, give other ids."""
    model = parity.train(0)
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    flat = parity.with_pieces(model, {i: dict(score=-1.0 - (i % 3)) for i in range(3, len(proto.pieces))})
    proto.normalizer_spec.precompiled_charsmap = b""
    texts = parity.make_texts(parity.tokenizer_parity.assigned_code_points(tool), 300, seed=1)
    ids = []
    for name, bytes_ in [("as-is", model), ("flat", flat), ("bare", proto.SerializeToString())]:
        parity.write(tmp_path / name, spiece__model=bytes_)
        assert not parity.compare(tool, tmp_path / name, texts)
        ids.append(parity.run_tool(tool, tmp_path / name, texts)[1])
    assert ids[0] != ids[1] != ids[2] != ids[0]


def broken_spiece(model, how):
    proto = sentencepiece_model_pb2.ModelProto.FromString(model)
    if how == "cut":
        return model[: len(model) // 2]
    if how == "bpe":
        proto.trainer_spec.model_type = 2
    if how == "charsmap":
        proto.normalizer_spec.precompiled_charsmap = b"\xff\xff\xff\x7f" + proto.normalizer_spec.precompiled_charsmap[4:]
    if how == "trie":
        size = int.from_bytes(proto.normalizer_spec.precompiled_charsmap[:4], "little")
        proto.normalizer_spec.precompiled_charsmap = size.to_bytes(4, "little") + b"\x00\xfd\xff\xff" * (size // 4) + b"x"
    if how == "score":
        proto.pieces[9].score = float("nan")
    if how == "few":
        del proto.pieces[2:]
    return proto.SerializeToString()


@pytest.mark.parametrize("how,words", [
    ("cut", "not a SentencePiece model"), ("bpe", "not a unigram model"), ("charsmap", "size of its trie"),
    ("trie", "leads outside"), ("score", "not finite"), ("few", "<extra_id_|no piece 2|declared"),
])
def test_damaged_spiece(tool, tmp_path, how, words):
    config = {"extra_ids": 0} if how == "few" else {}
    parity.write(tmp_path / "t5", spiece__model=broken_spiece(parity.train(0), how), tokenizer_config__json=config)
    with pytest.raises(RuntimeError, match=f"spiece.model.*({words})"):
        parity.run_tool(tool, tmp_path / "t5", ["a red circle"])


@pytest.mark.parametrize("pointer,value,words", [
    ("model.type", "BPE", "not Unigram"), ("model.vocab", {"a": 0}, "must be a list"),
    ("model.vocab", [["a", 0.0], ["b"]], "piece 1 is not"), ("normalizer.precompiled_charsmap", "a*==", "not base64"),
    ("normalizer.precompiled_charsmap", "AAAA", "too short"), ("added_tokens", {"a": 1}, "must be a list"),
])
def test_damaged_tokenizer_json(tool, tmp_path, pointer, value, words):
    parity.write(tmp_path / "spiece", spiece__model=parity.train(0))
    parity.T5Tokenizer.from_pretrained(tmp_path / "spiece").save_pretrained(tmp_path / "t5")
    path = tmp_path / "t5" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    *outer, last = pointer.split(".")
    place = tokenizer[outer[0]] if outer else tokenizer
    place[last] = value
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(RuntimeError, match=f"tokenizer.json.*{words}"):
        parity.run_tool(tool, tmp_path / "t5", ["a red circle"])


def test_no_files(tool, tmp_path):
    with pytest.raises(RuntimeError, match="spiece.model.*no such file"):
        parity.run_tool(tool, tmp_path, ["a"])
    with pytest.raises(RuntimeError, match="no such folder"):
        parity.run_tool(tool, tmp_path / "absent", ["a"])
