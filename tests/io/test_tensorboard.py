"""The event files are read back by TensorBoard itself."""

import io
import math
import os
import pathlib
import subprocess

import numpy
import pytest
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator, event_file_loader

BUILD = pathlib.Path(os.environ.get("THALWEG_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build" / "release"))


@pytest.fixture(scope="module")
def event_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    done = subprocess.run([BUILD / "tests" / "tensorboard", folder], capture_output=True, text=True, check=True)
    return folder, done.stdout.split()


def accumulator(path):
    sizes = {"scalars": 0, "images": 0, "tensors": 0}
    return event_accumulator.EventAccumulator(str(path), size_guidance=sizes).Reload()


def test_every_record_passes_the_checksums(event_files):
    _, paths = event_files
    events = list(event_file_loader.RawEventFileLoader(paths[0]).Load())
    assert len(events) == 1 + 300 + 2 + 1  # the version, scalars, one image


def test_scalars(event_files):
    _, paths = event_files
    read = accumulator(paths[0])
    assert set(read.Tags()["scalars"]) == {"reward/scene", "not/a/number", "late"}
    assert read.Tags()["images"] == ["samples"]
    points = {event.step: event.value for event in read.Scalars("reward/scene")}
    assert sorted(points) == list(range(300))
    for step, value in points.items():
        assert value == pytest.approx(math.sin(step), abs=1e-6)


def test_raw_summaries(event_files):
    _, paths = event_files
    values = {}
    for event in event_file_loader.LegacyEventFileLoader(paths[0]).Load():
        assert event.wall_time > 1.6e9 or event.file_version
        for value in event.summary.value:
            values.setdefault(value.tag, []).append((event.step, value))
    assert math.isnan(values["not/a/number"][0][1].simple_value)
    assert values["late"][0][0] == 1 << 40
    assert values["late"][0][1].simple_value == -2.5
    step, image = values["samples"][0]
    assert (step, image.image.width, image.image.height, image.image.colorspace) == (10, 6, 8, 3)


def test_images_are_png_of_the_right_pixels(event_files):
    _, paths = event_files
    [image] = accumulator(paths[0]).Images("samples")
    pixels = numpy.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
    expected = numpy.arange(3 * 8 * 6, dtype=numpy.uint8).reshape(3, 8, 6).transpose(1, 2, 0)
    assert pixels.shape == expected.shape
    assert (pixels == expected).all()


def test_a_resumed_run_replaces_what_came_after(event_files):
    folder, _ = event_files
    read = accumulator(folder)
    events = read.Scalars("reward/scene")
    assert [event.step for event in events] == list(range(201))
    assert events[-1].value == 42.0


def test_a_changed_byte_is_noticed(event_files, tmp_path):
    _, paths = event_files
    data = bytearray(pathlib.Path(paths[0]).read_bytes())
    data[len(data) // 2] ^= 1
    spoilt = tmp_path / "events.out.tfevents.1.spoilt"
    spoilt.write_bytes(data)
    whole = len(list(event_file_loader.RawEventFileLoader(paths[0]).Load()))
    assert len(list(event_file_loader.RawEventFileLoader(str(spoilt)).Load())) < whole
