"""Hostile pictures: bombs, damaged and odd PNG files; what is refused, and how much memory it takes."""

import io
import struct
import zlib

import pytest
from hostile_tool import SANITIZED, assert_fit_to_show, outcomes
from make_corpus import chunk, png, png_seeds
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SMALL = png(3, 2, 8, 2, b"".join(b"\0" + bytes(range(9)) for _ in range(2)))
WHITE = zlib.compress(b"\0" * 13 * 2**20, 9)


def header(width, height, depth=8, colour=2, compression=0, filtering=0, interlace=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, compression, filtering, interlace))


def made(*chunks):
    return SIGNATURE + b"".join(chunks)


def idat(raw, level=9):
    return chunk(b"IDAT", zlib.compress(raw, level))


def zeros(size):
    """`size` zero bytes as zlib data, made in pieces."""
    packer = zlib.compressobj(9)
    piece = bytes(1 << 20)
    out = b"".join(packer.compress(piece[:min(len(piece), size - done)]) for done in range(0, size, len(piece)))
    return out + packer.flush()


END = chunk(b"IEND", b"")
RGB = idat(b"\0" * 20)


def refused():
    """(name, bytes, words of the message)."""
    yield "empty", b"", "is not a PNG file"
    for name, data in [("GIF", b"GIF89a" + bytes(50)), ("JPEG", b"\xff\xd8\xff\xe0" + bytes(50)), ("HTML", b"<html>" + b" " * 50),
                       ("text mode", SMALL.replace(b"\r\n", b"\n")), ("7 bits", bytes(b & 127 for b in SMALL)), ("BMP", b"BM" + bytes(60)),
                       ("PSD", b"8BPS" + bytes(60)), ("playlist", b"#EXTM3U\nfile:///etc/passwd\n"), ("signature again", SIGNATURE[1:] + SMALL)]:
        yield name, data, "is not a PNG file"
    for size in [8, 9, 20, 32]:
        yield f"cut at {size}", SMALL[:size], "no header"
    for size in range(33, len(SMALL), 3):
        yield f"cut at {size}", SMALL[:size], "is a damaged PNG file"
    for width, height in [(0, 1), (1, 0), (1, 2**31), (2**31 - 1, 1), (2**32 - 1, 2**32 - 1), (65535, 65535), (17000, 17000), (8193, 1), (1, 8193),
                          (8192, 8192), (4097, 4096), (65536, 65536), (2**16, 2**16 + 1)]:
        yield f"{width} x {height}", made(header(width, height), RGB, END), f"the picture is {width} x {height}"
    for at in range(29, len(SMALL) - 12, 4):
        data = bytearray(SMALL)
        data[at] ^= 1
        yield f"bit at {at}", bytes(data), "is a damaged PNG file"
    for length in [2**31 - 1, 2**31, 2**32 - 1, 10**6]:
        yield f"chunk of {length}", made(header(3, 2), struct.pack(">I", length) + b"IDAT" + bytes(60)), "does not fit into it"
    yield "other chunk first", made(chunk(b"IDAT", b""), header(3, 2), END), "no header"
    yield "empty data first", made(header(3, 2), chunk(b"IDAT", b""), RGB, END), "begin with an empty chunk"
    yield "no data", made(header(3, 2), END), "is a damaged PNG file"
    yield "no end", made(header(3, 2), RGB), "cut short"
    yield "two headers", made(header(3, 2), header(3, 2), RGB, END), "is a damaged PNG file"
    yield "second header larger", made(header(3, 2), header(8000, 8000), RGB, END), "is a damaged PNG file"
    for depth, colour in [(0, 0), (3, 0), (32, 0), (4, 2), (1, 4), (2, 6), (16, 3), (8, 1), (8, 5), (8, 7), (255, 255)]:
        yield f"depth {depth} of colour {colour}", made(header(3, 2, depth, colour), RGB, END), "is a damaged PNG file"
    yield "compression 1", made(header(3, 2, compression=1), RGB, END), "is a damaged PNG file"
    yield "filter method 1", made(header(3, 2, filtering=1), RGB, END), "is a damaged PNG file"
    yield "interlace 2", made(header(3, 2, interlace=2), RGB, END), "is a damaged PNG file"
    yield "no palette", made(header(3, 2, colour=3), RGB, END), "is a damaged PNG file"
    yield "palette of 7 bytes", made(header(3, 2, colour=3), chunk(b"PLTE", bytes(7)), RGB, END), "is a damaged PNG file"
    yield "palette of 300", made(header(3, 2, colour=3), chunk(b"PLTE", bytes(900)), RGB, END), "is a damaged PNG file"
    yield "palette late", made(header(3, 2, colour=3), RGB, chunk(b"PLTE", bytes(9)), END), "is a damaged PNG file"
    yield "transparency with alpha", made(header(3, 2, colour=6), chunk(b"tRNS", bytes(6)), RGB, END), "is a damaged PNG file"
    yield "unknown critical chunk", made(header(3, 2), chunk(b"ABCD", b""), RGB, END), "is a damaged PNG file"
    yield "critical chunk of control characters", made(header(3, 2), chunk(b"A\x1b[m", b""), RGB, END), "is a damaged PNG file"
    yield "row filter 5", made(header(3, 1), idat(b"\5" + bytes(9)), END), "is a damaged PNG file"
    yield "too few pixels", made(header(3, 2), idat(b"\0" * 19), END), "is a damaged PNG file"
    yield "too few for an interlaced one", made(header(9, 9, interlace=1), idat(b"\0" * 19), END), "is a damaged PNG file"
    for name, data in [("empty", b""), ("one byte", b"x"), ("noise", bytes(range(256))), ("no zlib header", zlib.compress(bytes(20))[2:]),
                       ("preset dictionary", b"\x78\xbb" + bytes(20)), ("method 7", b"\x77\x85" + bytes(20)),
                       ("block type 3", b"\x78\x9c\x07"), ("stored length wrong", b"\x78\x9c\x01\x05\x00\x00\x00abcde"),
                       ("distance too far", b"\x78\x9c\x4b\x04\x72\x01"), ("cut", zlib.compress(bytes(range(20)))[:9])]:
        yield f"zlib: {name}", made(header(3, 2), chunk(b"IDAT", data), END), "is a damaged PNG file"
    for size in [13, 200, 850]:
        yield f"3 x 2 pixels before {size} MB", made(header(3, 2), chunk(b"IDAT", zeros(size << 20)), END), "inflate to more than its header says"
    yield "and in many pieces", made(header(3, 2), *(chunk(b"IDAT", WHITE[i:i + 9]) for i in range(0, len(WHITE), 9)), END), "inflate to more than its header says"


def odd_but_valid():
    for name, data in png_seeds():
        yield name, data
    yield "bytes behind the end", SMALL + b"PK\x03\x04" + bytes(1000)
    yield "unknown ancillary chunks", made(header(3, 2), *[chunk(b"teXt", b"x" * 100)] * 1000, RGB, END)
    yield "data in pieces of a byte", made(header(3, 2), *(chunk(b"IDAT", bytes([b])) for b in zlib.compress(b"\0" * 20)), END)
    yield "a row of 8192", png(8192, 1, 8, 0, bytes(8193))
    yield "a column of 8192", png(1, 8192, 8, 0, bytes(2 * 8192))


def write_all(folder, rows):
    paths = []
    for i, row in enumerate(rows):
        paths.append(folder / f"{i:03}.png")
        paths[-1].write_bytes(row[1])
    return paths


def test_each_is_refused_by_name(tmp_path):
    rows = list(refused())
    assert len(rows) >= 90
    for (name, data, words), said in zip(rows, outcomes("png", write_all(tmp_path, rows))):
        assert said["message"] is not None, f"{name} was read"
        assert_fit_to_show(said)
        assert said["place"] == said["path"] and words in said["message"], (name, said)
        assert said["seconds"] < 5
        if not SANITIZED:
            assert said["peak_mib"] < 24 + 2 * len(data) / 2**20, (name, len(data), said)


def test_odd_ones_are_read_as_the_peer_reads_them(tmp_path):
    rows = list(odd_but_valid())
    for (name, data), said in zip(rows, outcomes("png", write_all(tmp_path, rows))):
        assert said["message"] is None, (name, said)
        Image.open(io.BytesIO(data)).load()


@pytest.mark.skipif(SANITIZED, reason="measures memory")
@pytest.mark.parametrize("depth,colour,pixel,interlace", [(8, 2, 3, 0), (16, 6, 8, 0), (1, 0, 0.125, 0), (8, 0, 1, 1)])
def test_the_largest_picture_takes_less_than_half_a_gigabyte(depth, colour, pixel, interlace, tmp_path):
    """4096 x 4096 in a file of kilobytes; of RGB 50 MB of pixels."""
    raw = int(4096 * pixel + 1) * 4096 + (4096 * 4 if interlace else 0)
    path = tmp_path / "large.png"
    path.write_bytes(made(header(4096, 4096, depth, colour, interlace=interlace), chunk(b"IDAT", zeros(raw)), END))
    assert path.stat().st_size < 200_000
    (said,) = outcomes("png", [path])
    assert said["message"] is None and said["peak_mib"] < 512, said
