"""The clip reward, through the host, against transformers on small random models."""

import json
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import clip_folder
import parity_tool
from clip_folder import CASES, PROMPTS, random_frames
from random_weights import randomise

TOLERANCE = 1e-5
SIZES = [(40, 64), (17, 20)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return clip_folder.make_folders(tmp_path_factory.mktemp("clip"))


def reward(scratch, config, frames, prompts, cotangent=None):
    """The process, and what it wrote. frames: [B,F,3,H,W]."""
    inputs = {"frames": frames.contiguous()} | ({} if cotangent is None else {"cotangent": cotangent})
    save_file(inputs, scratch / "reward-in.safetensors")
    (scratch / "reward.json").write_text(json.dumps({"config": config, "prompts": prompts}))
    target = scratch / "reward-out.safetensors"
    target.unlink(missing_ok=True)
    done = subprocess.run([parity_tool.BUILD / "tests/reward", parity_tool.BUILD / "plugins/clip.so",
                           scratch / "reward.json", scratch / "reward-in.safetensors", target],
                          capture_output=True, text=True, timeout=300)
    return done, load_file(target) if target.exists() else {}


def scored(scratch, config, frames, prompts, cotangent=None):
    done, results = reward(scratch, config, frames, prompts, cotangent)
    assert done.returncode == 0, done.stderr
    return results


def peer_scores(model, folder, frames, prompts, goal=None, head=None, pixels=None):
    """Every score by its definition, [N] each."""
    pixels = clip_folder.pixel_values(folder, frames) if pixels is None else pixels
    images, texts = clip_folder.unit_embeds(model, folder, pixels, prompts)
    cosine = (images * texts).sum(-1)
    scores = {"cosine": cosine, "clipscore": 2.5 * cosine.clamp(min=0), "logit": model.logit_scale.exp().detach() * cosine}
    if goal:
        _, ends = clip_folder.unit_embeds(model, folder, pixels[:1].detach(), [goal["prompt"], goal["baseline"]])
        target, direction = ends[0], ends[0] - ends[1]
        line = torch.outer(direction, direction) / direction.square().sum()
        matrix = goal["alpha"] * line + (1 - goal["alpha"]) * torch.eye(len(direction))
        scores["goal"] = 1 - ((images - target) @ matrix).square().sum(-1) / 2
    if head:
        scores["aesthetic"] = head(images).squeeze(-1)
    return scores


def save_head(path, module):
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)
    return str(path)


class LinearMse(nn.Module):
    """Layer for layer what improved-aesthetic-predictor's files hold."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 64), nn.Dropout(0.2), nn.Linear(64, 32), nn.Dropout(0.2),
                                    nn.Linear(32, 16), nn.Dropout(0.1), nn.Linear(16, 8), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)


GOAL = {"prompt": "a red circle", "baseline": "a circle", "alpha": 0.6}
ALL = ["aesthetic", "logit", "cosine", "goal", "clipscore"]


def full_config(folder, model, scratch, **changes):
    head = randomise(LinearMse(model.config.projection_dim), 11)
    return {"model": str(folder), "scores": ALL, "goal": GOAL, "aesthetic": save_head(scratch / "head.safetensors", head),
            **changes}, head


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_scores(name, size, folders, tmp_path):
    folder, model = folders[name]
    frames = random_frames(5, 4, *size)
    config, head = full_config(folder, model, tmp_path)
    values = scored(tmp_path, config, frames[:, None], PROMPTS)["values"]
    with torch.no_grad():
        theirs = peer_scores(model, folder, frames, PROMPTS, GOAL, head)
    scale = {"logit": model.logit_scale.exp().item()}
    for k, score in enumerate(ALL):
        assert parity_tool.max_error(values[:, k], theirs[score]) <= TOLERANCE * scale.get(score, 1.0), score


def test_goal_without_projection_is_the_cosine_with_the_goal(folders, tmp_path):
    folder, model = folders["base"]
    frames = random_frames(6, 3, 40, 40)
    config = {"model": str(folder), "scores": ["goal"], "goal": {**GOAL, "alpha": 0.0}}
    goal = scored(tmp_path, config, frames[:, None], [""] * 3)["values"]
    cosine = scored(tmp_path, {"model": str(folder), "scores": ["cosine"]}, frames[:, None], [GOAL["prompt"]] * 3)["values"]
    assert parity_tool.max_error(goal, cosine) <= 1e-6


def test_linear_aesthetic_head(folders, tmp_path):
    folder, model = folders["gelu_wide_patches"]
    head = randomise(nn.Linear(model.config.projection_dim, 1), 12)
    frames = random_frames(8, 2, 32, 50)
    config = {"model": str(folder), "scores": ["aesthetic"], "aesthetic": save_head(tmp_path / "v1.safetensors", head)}
    values = scored(tmp_path, config, frames[:, None], ["", ""])["values"]
    with torch.no_grad():
        theirs = peer_scores(model, folder, frames, ["", ""], head=head)["aesthetic"]
    assert parity_tool.max_error(values[:, 0], theirs) <= TOLERANCE


def test_video_is_the_mean_over_frames(folders, tmp_path):
    folder, model = folders["base"]
    videos = random_frames(9, 6, 36, 44).view(2, 3, 3, 36, 44)
    config, _ = full_config(folder, model, tmp_path)
    together = scored(tmp_path, config, videos, PROMPTS[:2])["values"]
    single = scored(tmp_path, config, videos.flatten(0, 1)[:, None], [p for p in PROMPTS[:2] for _ in range(3)])["values"]
    assert parity_tool.max_error(together, single.view(2, 3, -1).mean(1)) <= 1e-5


def smooth_pixels(frames, processor):
    """Resize as torch does it with antialias, centre crop, normalise: the peer's differentiable path."""
    edge, side = processor.size["shortest_edge"], processor.crop_size["height"]
    height, width = frames.shape[-2:]
    shorter = min(height, width)
    resized = nn.functional.interpolate(frames, (edge * height // shorter, edge * width // shorter), mode="bicubic",
                                        antialias=True, align_corners=False)
    top, left = (resized.shape[-2] - side) // 2, (resized.shape[-1] - side) // 2
    cropped = resized[..., top:top + side, left:left + side]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (processor.image_mean, processor.image_std))
    return (cropped - mean) / std


@pytest.mark.parametrize("size", [(40, 64), (17, 20)], ids=str)
@pytest.mark.parametrize("name", ["base", "half_precision_in_shards"])
def test_gradient(name, size, folders, tmp_path):
    folder, model = folders[name]
    frames = random_frames(10, 4, *size).view(2, 2, 3, *size)
    prompts = PROMPTS[:2]
    config, head = full_config(folder, model, tmp_path, preprocess="smooth")
    cotangent = torch.randn(2, len(ALL), generator=torch.Generator().manual_seed(1))
    ours = scored(tmp_path, config, frames, prompts, cotangent)
    x = frames.clone().requires_grad_(True)
    pixels = smooth_pixels(x.flatten(0, 1), clip_folder.image_processor(folder))
    scores = peer_scores(model, folder, None, [p for p in prompts for _ in range(2)], GOAL, head, pixels)
    values = torch.stack([scores[score] for score in ALL], -1).view(2, 2, -1).mean(1)
    assert parity_tool.max_error(ours["values"], values.detach()) <= 2e-4  # logit is the coarsest
    (values * cotangent).sum().backward()
    scale = x.grad.abs().max().item()
    assert parity_tool.max_error(ours["gradient"], x.grad) <= TOLERANCE * max(scale, 1.0), scale


def test_no_gradient_through_rounding(folders, tmp_path):
    folder, _ = folders["base"]
    done, _ = reward(tmp_path, {"model": str(folder)}, random_frames(1, 1, 32, 32)[:, None], ["a"], torch.ones(1, 1))
    assert done.returncode == 2 and "no gradient" in done.stderr, done.stderr


def test_scores_do_not_depend_on_the_batch(folders, tmp_path):
    folder, model = folders["half_precision_in_shards"]
    frames = random_frames(13, 8, 40, 40)[:, None]
    prompts = PROMPTS * 2
    config, _ = full_config(folder, model, tmp_path)
    together = scored(tmp_path, config, frames, prompts)["values"]
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    assert torch.equal(scored(tmp_path, config, frames[order], [prompts[i] for i in order])["values"], together[order])
    for i in (0, 5):
        assert torch.equal(scored(tmp_path, config, frames[i:i + 1], prompts[i:i + 1])["values"], together[i:i + 1])


def test_degenerate_pictures(folders, tmp_path):
    folder, model = folders["base"]
    config = {"model": str(folder), "scores": ["cosine"]}
    for frames in [torch.rand(1, 1, 3, 1, 1), torch.rand(1, 1, 3, 3, 500), torch.rand(1, 1, 3, 2, 5000),
                   torch.zeros(1, 1, 3, 40, 40), torch.ones(1, 1, 3, 40, 40)]:
        value = scored(tmp_path, config, frames, ["a red circle"])["values"]
        with torch.no_grad():
            theirs = peer_scores(model, folder, frames[0], ["a red circle"])["cosine"]
        assert abs(value.item() - theirs.item()) <= TOLERANCE
    frames = torch.rand(3, 2, 3, 32, 32)
    frames[1, 1, 2, 30, 4] = float("nan")
    frames[2, 0, 0, 0, 0] = float("inf")
    values = scored(tmp_path, config, frames, ["a"] * 3)["values"]
    assert torch.isfinite(values[:, 0]).tolist() == [True, False, False]


def test_files_of_before_transformers_4_27(folders, tmp_path):
    """Configs that hold the towers twice, sizes as bare numbers, buffers among the weights."""
    folder, model = folders["base"]
    copy = tmp_path / "old"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    for name in ("text_config", "vision_config"):
        config[f"{name}_dict"] = config[name]
        config[name] = {**config[name], "num_hidden_layers": 12, "eos_token_id": 2}
    (copy / "config.json").write_text(json.dumps(config))
    processor = json.loads((copy / "preprocessor_config.json").read_text())
    processor.update(size=32, crop_size=32, feature_extractor_type=processor.pop("image_processor_type"))
    (copy / "preprocessor_config.json").write_text(json.dumps(processor))
    weights = load_file(copy / "model.safetensors")
    weights["text_model.embeddings.position_ids"] = torch.arange(16)[None]
    weights["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(weights, copy / "model.safetensors")
    frames = random_frames(14, 2, 33, 40)
    values = [scored(tmp_path, {"model": str(f), "scores": ["logit"]}, frames[:, None], PROMPTS[:2])["values"]
              for f in (folder, copy)]
    assert parity_tool.max_error(*values) <= 1e-6  # sums depend on where in memory a file's tensors start
