"""Pictures as Pillow reads them, to the level: JPEG of every common kind, turned as its EXIF part says, and PNG."""

import io

import numpy
import parity_tool
import pytest
import torch
from PIL import Image, ImageOps

SUBSAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def picture(height, width, seed=0):
    """A ramp and noise: edges and flat parts."""
    rng = numpy.random.default_rng(seed)
    ramp = numpy.linspace(0, 255, width)[None, :, None] * numpy.array([1.0, 0.5, 0.2])
    return Image.fromarray((ramp + 30 * rng.random((height, width, 3))).clip(0, 255).astype(numpy.uint8))


def levels(image):
    """[3,H,W] as floats."""
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return torch.from_numpy(numpy.asarray(upright).copy()).permute(2, 0, 1).float().div(255)


def files():
    """(name, bytes)."""
    def saved(name, image, **options):
        file = io.BytesIO()
        image.save(file, **{"format": "JPEG", **options})
        return name, file.getvalue()

    for height, width in [(1, 1), (8, 8), (17, 33), (63, 65), (200, 3)]:
        for name, subsampling in SUBSAMPLINGS.items():
            yield saved(f"{height}x{width}-{name.replace(':', '')}.jpg", picture(height, width), subsampling=subsampling, quality=90)
    yield saved("progressive.jpg", picture(70, 50), progressive=True)
    yield saved("grey.JPEG", picture(30, 20).convert("L"))
    yield saved("optimised.JPG", picture(30, 20), optimize=True, quality=5)
    yield saved("rgb.jpg", picture(30, 20), keep_rgb=True)
    yield saved("restarts.jpg", picture(64, 64), restart_marker_blocks=2)
    yield saved("a.png", picture(30, 20), format="PNG")
    yield saved("a-jpeg-all-the-same.png", picture(30, 20), quality=80)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield saved(f"turned-{orientation}.jpg", picture(20, 30, orientation), exif=exif, quality=95)


def test_pictures_are_read_as_pillow_reads_them(tmp_path):
    made = dict(files())
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, data in made.items():
        (folder / name).write_bytes(data)
    ours = parity_tool.run("pictures", folder, {"unused": torch.zeros(1)}, tmp_path)
    assert set(ours) == set(made) and len(made) >= 30
    for name, data in made.items():
        assert parity_tool.max_error(ours[name], levels(Image.open(io.BytesIO(data)))) == 0, name


def test_a_turned_picture_is_not_an_upright_one():
    """What the test above would not see if neither side turned anything."""
    turned = {name: levels(Image.open(io.BytesIO(data))) for name, data in files() if name.startswith("turned-")}
    assert [tuple(x.shape) for x in turned.values()] == [(3, 20, 30)] * 4 + [(3, 30, 20)] * 4
