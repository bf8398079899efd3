"""Hostile JPEG files: damaged, cut short, of other colours, too large, of endless scans."""

import io
import struct

import numpy
import pytest
from hostile_tool import SANITIZED, assert_fit_to_show, outcomes
from PIL import Image


def encoded(image, **options):
    file = io.BytesIO()
    image.save(file, format="JPEG", **options)
    return file.getvalue()


def noise(height, width, mode="RGB"):
    channels = {"RGB": 3, "CMYK": 4}[mode]
    return Image.fromarray(numpy.random.default_rng(1).integers(0, 256, (height, width, channels), numpy.uint8), mode)


SMALL = encoded(noise(40, 40))
PROGRESSIVE = encoded(noise(40, 40), progressive=True)


def resized(data, height, width):
    """Another size in the frame header (SOF0 or SOF2)."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


def of_scans(count):
    """A picture of three colours, each in a scan of its own (a grey picture's), and the last of them again and again: each
    scan costs the time of the whole picture."""
    grey = encoded(noise(40, 40).convert("L"))
    frame, scan = grey.find(b"\xff\xc0"), grey.find(b"\xff\xda")
    size = grey[frame + 5:frame + 9]
    three = b"\xff\xc0\x00\x11\x08" + size + b"\x03" + b"".join(bytes([c, 0x11, 0]) for c in (1, 2, 3))
    data = grey[scan + 10:-2]  # behind the marker, its length, one component and three numbers
    scans = [b"\xff\xda\x00\x08\x01" + bytes([min(c, 3), 0]) + b"\x00\x3f\x00" + data for c in range(1, count + 1)]
    return grey[:frame] + three + grey[frame + 13:scan] + b"".join(scans) + b"\xff\xd9"


def refused():
    """(name, bytes, words of the message)."""
    for name, data in [("empty", b""), ("one byte", b"\xff"), ("GIF", b"GIF89a" + bytes(50)), ("HTML", b"<html>" + b" " * 50),
                       ("WebP", b"RIFF\x00\x00\x00\x00WEBP"), ("late", b"\0" + SMALL)]:
        yield name, data, "is neither a PNG nor a JPEG file"
    for size in [2, 3, 20, 100, 300, 500, len(SMALL) - 40, len(SMALL) - 2]:
        yield f"cut at {size}", SMALL[:size], "cannot be read as JPEG"
    for size in range(30, len(PROGRESSIVE) - 2, 97):
        yield f"progressive cut at {size}", PROGRESSIVE[:size], "cannot be read as JPEG"
    yield "CMYK", encoded(noise(16, 16, "CMYK")), "4 channels"
    for height, width in [(8193, 8), (8, 8193), (65500, 65500), (4097, 4096)]:
        yield f"{width} x {height}", resized(SMALL, height, width), f"the picture is {width} x {height}"
    yield "no rows", resized(SMALL, 0, 40), "cannot be read as JPEG"
    yield "taller than its data", resized(SMALL, 4000, 40), "cannot be read as JPEG"
    yield "progressive and taller than its data", resized(PROGRESSIVE, 4000, 40), "cannot be read as JPEG"
    yield "endless scans", of_scans(2000), "more than 100 scans"


def written(folder, rows):
    paths = []
    for i, row in enumerate(rows):
        paths.append(folder / f"{i:03}.jpg")
        paths[-1].write_bytes(row[1])
    return paths


def test_each_is_refused_by_name(tmp_path):
    rows = list(refused())
    for (name, data, words), said in zip(rows, outcomes("picture", written(tmp_path, rows)), strict=True):
        assert said["message"] is not None, f"{name} was read"
        assert_fit_to_show(said)
        assert said["place"] == said["path"] and words in said["message"], (name, said)
        if not SANITIZED:
            assert said["peak_mib"] < 24 + 2 * len(data) / 2**20, (name, len(data), said)


def test_colours_in_scans_of_their_own_are_read(tmp_path):
    (said,) = outcomes("picture", written(tmp_path, [("three", of_scans(3))]))
    assert said["message"] is None, said


def test_every_flipped_bit_is_read_or_refused(tmp_path):
    """Not all damage can be seen, but none is more than a picture of the same size or a message."""
    rows = []
    for at in range(0, len(SMALL), 3):
        data = bytearray(SMALL)
        data[at] ^= 1 << at % 8
        rows.append((f"bit at {at}", bytes(data)))
    for said in outcomes("picture", written(tmp_path, rows)):
        if said["message"] is not None:
            assert_fit_to_show(said)


@pytest.mark.skipif(SANITIZED, reason="measures memory")
@pytest.mark.parametrize("progressive", [False, True])
def test_the_largest_picture_takes_less_than_half_a_gigabyte(progressive, tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(encoded(Image.new("RGB", (4096, 4096)), progressive=progressive, subsampling=0))
    (said,) = outcomes("picture", [path])
    assert said["message"] is None and said["peak_mib"] < 512, said
