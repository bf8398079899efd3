"""Hostile videos: what thalweg-video refuses, how fast, and in how much memory."""
import functools
import io
import os
import pathlib
import random
import resource
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from hostile_tool import ROOT, SANITIZED
from PIL import Image

sys.path.insert(0, str(ROOT / "tests/video"))
from boxes import STBL, find, join, parse, repeated, table  # noqa: E402
from thalweg_video import PROGRAM, Refused, decode, encode, message, moving  # noqa: E402

PATIENT = 10  # seconds of processor time
MOST_KIB = 512 * 1024
DATA = ROOT / "tests/video/data"
FILES = sorted(DATA.iterdir())


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def box(kind, payload=b"", size=None):
    return struct.pack(">I4s", 8 + len(payload) if size is None else size, kind) + payload


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")


def gif(size, frames, colours=2):
    """Frames that change one pixel each, of a canvas of this size."""
    pictures = []
    for i in range(frames):
        picture = Image.new("P", size, 0)
        picture.putpalette([0, 0, 0, 255, 255, 255] * 128)
        picture.putpixel((i % size[0], 0), 1)
        pictures.append(picture)
    out = io.BytesIO()
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=40)
    return out.getvalue()


def noisy_gif():
    """A picture whose last bytes are pixels."""
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30), np.uint8)).save(out, "GIF")
    return out.getvalue()


def lying(data, width, height):
    """The container says another size than the stream in it."""
    boxes = parse(data)
    stsd = find(boxes, *STBL, b"stsd")
    stsd[1] = stsd[1][:40] + struct.pack(">HH", width, height) + stsd[1][44:]
    return join(boxes)


def streams(data, count):
    boxes = parse(data)
    moov = find(boxes, b"moov")
    moov[1] += [find(boxes, b"moov", b"trak")] * (count - 1)
    return join([each for each in boxes if each[0] != b"mdat"] + [each for each in boxes if each[0] == b"mdat"])


def with_table(data, kind, payload):
    boxes = parse(data)
    find(boxes, *STBL, kind)[1] = payload
    return join(boxes)


def deep(kind, depth):
    out = b""
    for _ in range(depth):
        out = box(kind, out) if len(out) < 10**6 else out
    return out


@functools.cache
def one():
    return encode(np.full((1, 64, 64, 3), 128, np.uint8))


@functools.cache
def huge():
    return encode(np.zeros((1, 4000, 6016, 3), np.uint8))


@functools.cache
def whole():
    return encode(moving(12, 32, 32))


def without(data, kind):
    return join([each for each in parse(data) if each[0] != kind])


TARGET = b"file:///etc/hostname"
# What it is, its bytes, and words of the reason.
BOMBS = [
    ("HLS as mp4", lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n" + TARGET + b"\n#EXT-X-ENDLIST\n", "is no MP4"),
    ("HLS after a box", lambda: FTYP + b"#EXTM3U\n#EXTINF:10,\n" + TARGET, "cannot be decoded"),
    ("ffconcat as mp4", lambda: b"ffconcat version 1.0\nfile '" + TARGET + b"'\n", "is no MP4"),
    ("SDP", lambda: b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "is no MP4"),
    ("DASH", lambda: b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>', "is no MP4"),
    ("AVI", lambda: b"RIFF\x24\0\0\0AVI LIST" + bytes(200), "is no MP4"),
    ("zero size", lambda: b"", "is empty"),
    ("one byte", lambda: b"\0", "is no MP4"),
    ("zeros", lambda: bytes(100_000), "is no MP4"),
    ("6016 x 4000", huge, "6016 x 4000"),
    ("6016 x 4000 said to be 64 x 64", lambda: lying(huge(), 64, 64), ""),
    ("64 x 64 said to be 65535 x 65535", lambda: lying(one(), 65535, 65535), "65535 x 65535"),
    ("gigabytes in a small file", lambda: repeated(encode(np.zeros((1, 2304, 4096, 3), np.uint8)), 2000), "once it is decoded"),
    ("a million frames", lambda: repeated(one(), 10**6), "1000000 frames"),
    ("2^31 frames of no size", lambda: with_table(one(), b"stsz", table([], 10, 2**31)), ""),
    ("2^32 - 1 entries", lambda: with_table(one(), b"stts", struct.pack(">II", 0, 2**32 - 1) + bytes(64)), ""),
    ("500 streams", lambda: streams(one(), 500), "streams"),
    ("deep boxes", lambda: FTYP + deep(b"moov", 20_000), ""),
    ("a box of 2^63 bytes", lambda: FTYP + struct.pack(">I4sQ", 1, b"moov", 2**63 - 1) + bytes(100), ""),
    ("plays for ever", lambda: with_table(repeated(one(), 2), b"stts", table([2, 2**31 - 1], 1)), "plays for longer"),
    ("GIF of 65535 x 65535", lambda: b"GIF89a" + struct.pack("<HH", 65535, 65535) + gif((8, 8), 1)[10:], "65535 x 65535"),
    ("GIF of 2100 frames", lambda: gif((16, 2), 2100), "frames"),
    ("EBML and nothing", lambda: b"\x1a\x45\xdf\xa3" + bytes(1000), ""),
    ("EBML of 2^56 bytes", lambda: b"\x1a\x45\xdf\xa3\x01" + b"\xff" * 7 + bytes(1000), ""),
    ("0.3 of a file", lambda: whole()[:len(whole()) * 3 // 10], ""),
    ("0.9 of a file", lambda: whole()[:len(whole()) * 9 // 10], "cut short"),
    ("0.8 of a WebM file", lambda: (DATA / "vp9.webm").read_bytes()[:820], "cut short"),
    ("0.8 of a MKV file", lambda: (DATA / "h264.mkv").read_bytes()[:1300], "cut short"),
    ("0.8 of a MOV file", lambda: (DATA / "mpeg4.mov").read_bytes()[:1300], ""),
    ("0.8 of a GIF file", lambda: noisy_gif()[:-200], ""),
    ("without its index", lambda: without(whole(), b"moov"), ""),
    ("without its pictures", lambda: without(whole(), b"mdat"), ""),
]


@pytest.mark.parametrize("data, words", [each[1:] for each in BOMBS], ids=[each[0] for each in BOMBS])
def test_a_bomb_is_refused(data, words):
    bytes_ = data()
    begun = cpu_seconds()
    with pytest.raises(Refused) as refused:
        decode(bytes_, timeout=60)
    assert cpu_seconds() - begun < PATIENT
    assert words in str(refused.value) and str(refused.value), refused.value
    assert "exit code" not in str(refused.value), "it died instead of refusing"
    assert SANITIZED or refused.value.peak_kib < MOST_KIB


def test_frames_beyond_the_limit_are_not_decoded():
    """A format that does not say how many there are: 60 frames of 2000 x 2000, 0.7 GB, in a small file."""
    data = gif((2000, 2000), 60)
    assert len(data) < 500_000
    with pytest.raises(Refused, match="once it is decoded") as refused:
        decode(data, bytes=10 * 3 * 2000 * 2000)
    assert SANITIZED or refused.value.peak_kib < MOST_KIB


@pytest.mark.parametrize("file", [path for path in FILES], ids=lambda path: path.name)
def test_a_damaged_file_is_read_or_refused(file):
    """Never a crash, a hang or much memory, whatever bytes change."""
    data, rng = file.read_bytes(), random.Random(file.name)
    for _ in range(8):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 3, 20))):
            damaged[rng.randrange(12, len(data))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        try:
            decode(bytes(damaged), timeout=60)
        except Refused as refused:
            assert "exit code" not in str(refused), refused
            assert SANITIZED or refused.peak_kib < MOST_KIB


def status_of(process):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines() if ":\t" in line)


@pytest.mark.parametrize("mode", ["encode", "decode"])
def test_it_is_held_before_it_reads_a_byte(mode, tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with open(tmp_path / "a", "r+b") as media:
        program = subprocess.Popen(["bash", "-c", f'exec "$0" {mode} 3<&{media.fileno()}', PROGRAM], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, pass_fds=[media.fileno()])
        try:
            until = time.monotonic() + 60
            while (status := status_of(program.pid)).get("Seccomp") != "2" and time.monotonic() < until:
                time.sleep(0.02)
            assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
            limits = pathlib.Path(f"/proc/{program.pid}/limits").read_text()
            if mode == "decode" and not SANITIZED:
                line = next(line for line in limits.splitlines() if line.startswith("Max address space"))
                assert int(line.split()[3]) < 2**30
            opened = {os.readlink(f"/proc/{program.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{program.pid}/fd")}
            assert len(opened) <= 4 and str(tmp_path / "a") in opened
        finally:
            program.kill()
            program.wait()


@pytest.mark.parametrize("sent", [b"", b"NONE", message(b"WHAT"), message(b"READ"), b"READ" + b"\xff" * 8,
                                  message(b"HEAD", bytes(16)), message(b"HEAD", struct.pack("<4I", 2, 2, 1, 1)) + message(b"FRAM", b"1")])
def test_another_language_is_not_understood(sent, tmp_path):
    for mode in ("encode", "decode"):
        with open(tmp_path / "a", "w+b") as media:
            program = subprocess.run(["bash", "-c", f'exec "$0" {mode} 3<&{media.fileno()}', PROGRAM], input=sent, capture_output=True,
                                     pass_fds=[media.fileno()], timeout=60)
        assert program.returncode == 1, program


def test_without_a_file_it_says_how_it_is_used():
    program = subprocess.run([PROGRAM, "decode"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert program.returncode == 2 and "thalweg-video encode|decode" in program.stderr
