"""Hostile safetensors: the reader against hundreds of files that break a rule, and against the reference reader."""

import collections
import re

import pytest
import safetensors
import safetensors_cases as cases
from hostile_tool import SANITIZED, assert_fit_to_show, outcomes
from safetensors_bytes import LIMIT, frame
from safetensors_odd import mutations, odd_but_valid


def write_all(folder, rows):
    paths = []
    for i, (_, data, _) in enumerate(rows):
        paths.append(folder / f"{i:04}.safetensors")
        paths[-1].write_bytes(data)
    return paths


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """(name, bytes, words, what our reader said) of every case."""
    rows = cases.refused() + list(odd_but_valid()) + list(mutations())
    folder = tmp_path_factory.mktemp("safetensors")
    return [(*row, said) for row, said in zip(rows, outcomes("safetensors", write_all(folder, rows)))]


def peer_refuses(data):
    try:
        safetensors.deserialize(data)
        return False
    except safetensors.SafetensorError:
        return True


def test_there_are_enough_of_them(results):
    refused = {data for _, data, words, _ in results if words not in (None, "?")}
    assert len(refused) >= 350
    assert sum(words is None for _, _, words, _ in results) >= 40


def test_each_is_refused_with_its_own_words(results):
    for name, _, words, said in results:
        if words == "?":
            continue
        if words is None:
            assert said["message"] is None, (name, said)
            continue
        assert said["message"] is not None, f"{name} was read"
        assert_fit_to_show(said)
        assert said["place"] == said["path"], said
        assert words in said["message"], (name, said["message"])


def test_different_faults_have_different_messages(results):
    """Of the same words and numbers, two files have the same fault."""
    words_of = collections.defaultdict(set)
    for name, _, words, said in results:
        if words not in (None, "?"):
            words_of[re.sub(r"\d+", "#", said["message"])].add(words)
    for message, words in words_of.items():
        assert all(re.sub(r"\d+", "#", part) in message for part in words), (message, words)
    assert len(words_of) >= 60


def test_the_reference_reader_agrees(results):
    """On what is valid, but for the documented differences, which are all on the strict side."""
    differences, agreed = collections.Counter(), 0
    for name, data, _, said in results:
        ours, theirs = said["message"] is not None, peer_refuses(data)
        if ours == theirs:
            agreed += 1
            continue
        assert ours, f"{name} was read, the reference reader refuses it"
        reasons = [why for words, why in cases.STRICTER.items() if words in said["message"]]
        assert reasons, f"{name} is refused with {said['message']!r}, the reference reader takes it"
        differences[reasons[0]] += 1
    assert agreed >= 500
    # None of the documented differences is out of date.
    assert set(differences) == set(cases.STRICTER.values()), set(cases.STRICTER.values()) ^ set(differences)


def test_time_and_memory_follow_the_file(results):
    for name, data, words, said in results:
        assert said["seconds"] < 20, (name, said)
        if not SANITIZED and words is not None:
            assert said["peak_mib"] < 2 * len(data) / 2**20 + 8, (name, len(data), said)


@pytest.mark.skipif(SANITIZED, reason="measures memory")
def test_a_header_of_100_mb_costs_no_more_than_twice_the_file(tmp_path):
    """Up to the limit, whatever fills it: tensors that overlap, one name, one text, a list in an unknown field."""
    size = LIMIT - 1000
    entry = '"%d":{"dtype":"U8","shape":[],"data_offsets":[0,1]},'
    overlapping = "{" + "".join(entry % i for i in range(260_000))
    headers = {
        "overlap": overlapping + '"z":{"dtype":"U8","shape":[%s]' % ("1," * 1000),
        "name": '{"%s":1}' % ("n" * size),
        "text": '{"__metadata__":{"k":"%s"},"a":1}' % ("t" * size),
        "escapes": '{"%s":1}' % ("\\u0061" * (size // 6)),
        "unknown": '{"a":{"x":[%s1]}}' % ("1," * (size // 2)),
        "blank": "{" + " " * size + "]",
        "metadata": '{"__metadata__":{%s"k":1}}' % "".join(f'"{i}":"",' for i in range(60_000)),
    }
    paths = []
    for name, header in headers.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(frame(header, b"x"))
    for path, said in zip(paths, outcomes("safetensors", paths)):
        assert said["message"] is not None, path.name
        assert said["peak_mib"] < 2 * path.stat().st_size / 2**20 + 16, (path.name, said)


@pytest.mark.parametrize("name,make", [("folder", lambda p: p.mkdir()), ("absent", lambda p: None),
                                       ("fifo", lambda p: __import__("os").mkfifo(p)),
                                       ("loop", lambda p: p.symlink_to(p.name)),
                                       ("dangling", lambda p: p.symlink_to("nowhere"))])
def test_what_is_no_file(name, make, tmp_path):
    path = tmp_path / name
    make(path)
    (said,) = outcomes("safetensors", [path], timeout=60)
    assert said["place"] == str(path) and said["message"], said
