"""CLIP's two towers and its image processor against transformers on small random models."""

import json

import pytest
import torch

import clip_folder
import parity_tool
from clip_folder import CASES, PROMPTS, random_frames

TOLERANCE = 1e-5
SIZES = [(40, 64), (32, 32), (17, 20), (224, 130), (300, 600), (1, 1), (3, 500), (500, 3)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return clip_folder.make_folders(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize("name", CASES)
def test_towers(name, folders, tmp_path):
    folder, model = folders[name]
    pixels = clip_folder.pixel_values(folder, random_frames(7, 4, 40, 52))
    ids = clip_folder.token_ids(folder, PROMPTS)
    ours = parity_tool.run("clip", folder, {"pixels": pixels, "ids": ids}, tmp_path)
    with torch.no_grad():
        assert parity_tool.max_error(ours["image_embeds"], model.get_image_features(pixels).pooler_output) <= TOLERANCE
        assert parity_tool.max_error(ours["text_embeds"], model.get_text_features(ids).pooler_output) <= TOLERANCE
    assert ours["logit_scale"].item() == model.logit_scale.item()


def frames_of_sizes(sizes):
    return {str(size): random_frames(sum(size), 1, *size)[0] for size in sizes}


@pytest.mark.parametrize("name", ["base", "gelu_wide_patches", "uneven_patches", "square_resize"])
def test_exact_pixels_are_equal(name, folders, tmp_path):
    """Bicubic, bilinear, Lanczos; smaller and larger than the target; strips."""
    folder, _ = folders[name]
    frames = frames_of_sizes(SIZES)
    ours = parity_tool.run("image-processor", folder, frames, tmp_path)
    for size, frame in frames.items():
        theirs = clip_folder.pixel_values(folder, frame[None])[0]
        if name == "square_resize" and size == "(500, 3)":
            # Pillow 13 takes the height first where it loses more than twice the pixels that the width does.
            # Before it, and here, the width always is first.
            assert (ours[f"exact/{size}"] - theirs).abs().max() * 0.26 * 255 < 1.5
        else:
            assert torch.equal(ours[f"exact/{size}"], theirs), size
        # What rounding and clipping do, in levels of 255 (std is at least 0.26).
        difference = (ours[f"smooth/{size}"] - theirs).abs() * 0.27 * 255
        assert difference.mean() < 1.5, (size, difference.mean())


@pytest.mark.parametrize("changes", [{"do_resize": False}, {"size": {"shortest_edge": 21}}], ids=str)
def test_padding_of_small_pictures(changes, tmp_path):
    folder = tmp_path / "model"
    clip_folder.make_folder(folder, image=32, patch=16)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    frames = frames_of_sizes([(9, 9), (40, 11), (11, 40), (33, 47)])
    ours = parity_tool.run("image-processor", folder, frames, tmp_path)
    for size, frame in frames.items():
        assert torch.equal(ours[f"exact/{size}"], clip_folder.pixel_values(folder, frame[None])[0]), size
