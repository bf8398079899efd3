"""Golden scores: eight pictures, what this process says of them, and what the program says of the folder."""

import json
import pathlib
import subprocess

import torch
from safetensors.torch import save_file

from exported_checks import Refused, require

GOLDENS = 8


def near(extent, wish):
    """The allowed size nearest to `wish`, from below where there is one."""
    step = extent["multiple"]
    low = -(-extent["min"] // step) * step
    return max(low, min(wish, extent["max"]) // step * step)


def write(export, folder):
    """Writes golden/: pictures, and what eager says of them. [N,K] numbers."""
    golden = folder / "golden"
    golden.mkdir()
    shown = _shown(export, golden)
    prompts = [export.prompts[i % len(export.prompts)] for i in range(len(shown))]
    inputs = shown if export.preprocess == "graph" else processed(export, shown)
    with torch.no_grad():
        scores = export.module(inputs.to(export.device, export.dtype), *(export.tokens(prompts) if export.tokenizer else [])).double()
    require(bool(torch.isfinite(scores).all()), 4, "the score of a golden picture is not finite")
    (golden / "golden.json").write_text(json.dumps({"prompts": prompts, "scores": scores.tolist()}, indent=1) + "\n")
    return scores.tolist()


def _shown(export, golden):
    """The golden pictures [8,3,H,W] or videos [8,F,3,H,W] as they are in the files of golden/."""
    import PIL.Image
    if export.kind == "videos":
        frames = export.inputs(GOLDENS, seed=50)[0].float().cpu()
        save_file({"frames": frames}, golden / "frames.safetensors")
        return frames
    if export.pictures is not None:
        shown = [PIL.Image.open(path).convert("RGB") for path in export.pictures]
    else:
        drawn = _drawn(GOLDENS, near(export.height, 64), near(export.width, 48))
        shown = [PIL.Image.frombytes("RGB", (p.shape[1], p.shape[0]), p.numpy().tobytes()) for p in drawn]
    levels = []
    for i, picture in enumerate(shown):
        picture.save(golden / f"{i}.png")
        flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        levels.append(flat.view(picture.height, picture.width, 3).permute(2, 0, 1).float() / 255)
    return torch.stack(levels)


def processed(export, shown):
    """What the processor of the folder makes of [N,3,H,W], by transformers or, smoothly, as README.md defines it."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    processor = CLIPImageProcessorPil.from_pretrained(export.processor)
    if export.preprocess == "exact":
        pictures = [(p.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy() for p in shown]
        return torch.stack([torch.as_tensor(p) for p in processor(pictures).pixel_values])
    plain = processor.do_resize and processor.do_center_crop and "shortest_edge" in processor.size and processor.resample == 3
    require(plain, 4, "\"smooth\" is checked for a bicubic resize of the shorter edge and a centre crop; put another into forward")
    edge, side = processor.size["shortest_edge"], processor.crop_size["height"]
    height, width = shown.shape[-2:]
    short = min(height, width)
    resized = torch.nn.functional.interpolate(shown, (edge * height // short, edge * width // short), mode="bicubic", antialias=True,
                                              align_corners=False)
    top, left = (resized.shape[-2] - side) // 2, (resized.shape[-1] - side) // 2
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (processor.image_mean, processor.image_std))
    return (resized[..., top:top + side, left:left + side] - mean) / std


def scored_by(program, export, folder, scratch):
    """The scores that the program gives, in a process of its own."""
    golden = json.loads((folder / "golden" / "golden.json").read_text())
    shown = {"frames": str(folder / "golden" / "frames.safetensors")} if export.kind == "videos" else {"images": str(folder / "golden")}
    job = {"version": 1, "job": "score", **shown, "prompts": {"texts": golden["prompts"]}, "output": str(scratch / "run"),
           "rewards": [{"plugin": "exported", "config": {"path": str(folder)}}]}
    (scratch / "job.json").write_text(json.dumps(job))
    try:
        done = subprocess.run([program, "run", scratch / "job.json"], capture_output=True, text=True)
    except OSError as e:
        raise Refused(11, f"cannot start the program \"{program}\": {e.strerror}; say where it is with --program or "
                      "THALWEG_PROGRAM") from e
    require(done.returncode == 0, 11, f"the program refuses the folder: {done.stderr.strip()[-1500:]}")
    rows = [json.loads(line) for line in (scratch / "run" / "scores.jsonl").read_text().splitlines()]
    return [[row.get(f"exported/{dimension}") for dimension in export.dimensions] for row in rows]


def _drawn(count, height, width):
    """Pictures that differ in colour, shape and texture: uint8 [N,H,W,3]."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    pictures = []
    for i in range(count):
        back, front = torch.rand(2, 3, generator=generator)
        centre, radius = torch.rand(2, generator=generator), 0.1 + 0.3 * torch.rand(1, generator=generator)
        inside = ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius ** 2)[..., None]
        noise = 0.05 * i * torch.rand(height, width, 3, generator=generator)
        pictures.append(((torch.where(inside, front, back) + noise).clamp(0, 1) * 255).round().to(torch.uint8))
    return pictures
