"""Files of thalweg-video's, and those of other programs that it reads."""
import io
import pathlib
import struct

import numpy as np
import pytest
from boxes import find, join, parse
from PIL import Image
from thalweg_video import Refused, decode, encode, moving, psnr

DATA = pathlib.Path(__file__).parent / "data"


def test_the_index_is_in_front():
    kinds = [kind for kind, _ in parse(encode(moving(30)))]
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert kinds[0] == b"ftyp"


@pytest.mark.parametrize("rate", [(16, 1), (30000, 1001), (24, 1), (25, 2), (1, 10)])
def test_the_rate_is_exact(rate):
    boxes = parse(encode(moving(7, 16, 16), rate))
    (scale,) = struct.unpack_from(">I", find(boxes, b"moov", b"trak", b"mdia", b"mdhd")[1], 12)
    entries = struct.unpack(">4I", find(boxes, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts")[1])
    assert entries[1:3] == (1, 7) and scale * rate[1] == entries[3] * rate[0]  # one interval for all frames
    assert decode(join(boxes)).rate == rate


def test_the_file_says_neither_when_nor_by_what_it_was_made():
    data = encode(moving(3))
    header = find(parse(data), b"moov", b"mvhd")[1]
    assert header[4:12] == bytes(8)
    assert b"Lavf" not in data
    assert data == encode(moving(3))


# What tests/video/README.md says made them: eight frames of the same waves, 48 x 32.
def waves():
    y, x = np.mgrid[0:32, 0:48]
    return np.array([[127 + 100 * np.sin(0.1 * (x + 3 * f) + 0.05 * y * (c + 1) + c) for c in range(3)]
                     for f in range(8)]).round().astype(np.uint8).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("name, rate", [("vp9.webm", (10, 1)), ("vp8.webm", (10, 1)), ("h264.mkv", (30000, 1001)), ("mpeg4.mov", (25, 1)),
                                        ("av1.mp4", (10, 1)), ("hevc.mp4", (10, 1))])
def test_files_of_other_programs_are_read(name, rate):
    video = decode((DATA / name).read_bytes())
    assert video.frames.shape == (8, 32, 48, 3) and video.rate == rate and video.notes == []
    assert all(psnr(video.frames[f], waves()[f]) > 27 for f in range(8))


def test_a_codec_that_is_not_read_is_named():
    with pytest.raises(Refused, match="coded as mjpeg, which is not read"):
        decode((DATA / "mjpeg.mkv").read_bytes())


def gif(frames, durations):
    out = io.BytesIO()
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return out.getvalue()


def levels(count):
    return np.stack([np.full((10, 15, 3), 20 * i, np.uint8) for i in range(count)])


def test_a_gif_is_read_whatever_its_size():
    video = decode(gif(levels(6), 100))
    assert (np.abs(video.frames.astype(int) - levels(6)) <= 4).all() and video.rate == (10, 1) and video.notes == []


def test_a_rate_that_varies_is_said():
    video = decode(gif(levels(5), [40, 40, 200, 40, 40]))
    assert len(video.frames) == 5 and "rate varies" in video.notes[0]
    assert video.rate[0] / video.rate[1] == pytest.approx(4 / 0.32)


MATRICES = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0), "mirrored": (-1, 0, 0, 1)}


def with_matrix(data, a, b, c, d):
    boxes = parse(data)
    header = find(boxes, b"moov", b"trak", b"tkhd")
    matrix = struct.pack(">9i", *(int(65536 * v) for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    header[1] = header[1][:40] + matrix + header[1][76:]
    return join(boxes)


@pytest.mark.parametrize("angle", MATRICES)
def test_a_picture_is_turned_upright(angle):
    """MP4 turns clockwise by the angle of its matrix; rot90 against it."""
    data = encode(moving(3, 32, 48))
    plain = decode(data).frames
    shown = {0: plain, 90: np.rot90(plain, -1, (1, 2)), 180: np.rot90(plain, 2, (1, 2)), 270: np.rot90(plain, 1, (1, 2)),
             "mirrored": plain[:, :, ::-1]}[angle]
    np.testing.assert_array_equal(decode(with_matrix(data, *MATRICES[angle])).frames, shown)


def test_another_angle_is_refused():
    with pytest.raises(Refused, match="no multiple of 90"):
        decode(with_matrix(encode(moving(1, 32, 48)), 0.7071, 0.7071, -0.7071, 0.7071))


@pytest.mark.parametrize("size", [(15, 16), (16, 15)])
def test_odd_sides_are_refused(size):
    with pytest.raises(Refused, match="sides must be even"):
        encode(moving(1, *size))
