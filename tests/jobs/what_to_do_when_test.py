"""Every message that docs/what_to_do_when.md explains is one that the sources can say."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a message fills in: numbers, words in capitals, quoted names, places.
FILLED = re.compile(r'"[^"]*"|[A-Z]+(?=\W|$)|\S*\d\S*|/\S+|[\w.]+\.(?:txt|png|mp4|gif)\S*|\.\.\.|RUN|FILE')


def said_by_the_sources():
    """All their texts, without what joins the pieces of one text."""
    files = [path for folder in ("engine", "samplers", "rewards", "plugins", "pipelines")
             for path in (ROOT / folder).rglob("*") if path.suffix in (".cpp", ".h", ".hpp")]
    text = "\n".join(path.read_text() for path in files)
    return re.sub(r'\\"', '"', re.sub(r'"\s*\n\s*"', "", text))


def messages():
    rows = (ROOT / "docs" / "what_to_do_when.md").read_text().splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("| `")]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


def test_each_message_is_said():
    """By pairs of neighbouring words: a message may be put together from pieces."""
    said, found = said_by_the_sources(), messages()
    assert len(found) >= 20
    for message in found:
        pairs = [f"{first} {second}" for piece in FILLED.split(message)
                 for first, second in zip(piece.split(), piece.split()[1:])] or [message.strip()]
        missing = [pair for pair in pairs if pair.strip(":;,") not in said]
        assert len(missing) <= len(pairs) // 4, f"{message!r}: no source says {missing}"
