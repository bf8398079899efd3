"""Jobs on models whose truth is known (assets/laboratory)."""

import json

from mixtures import LABORATORY
from program import ROOT, thalweg, write_job

JOBS = ROOT / "assets" / "jobs"


def run(job, folder, *arguments):
    done = thalweg("run", job, "--output", folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def sample_job(folder, model, size, **keys):
    job = {"job": "sample", "model": {"path": str(LABORATORY / model)}, "prompts": {"texts": [""]},
           "images_per_prompt": 4000, "sampler": {"name": "flow_ode", "steps": 100, **size}, "save_images": False,
           "save_latents": True, "parallel": {"micro_batch": 4000}, "output": str(folder / "run"), **keys}
    return write_job(folder / "job.json", job)


LINE = {"height": 1, "width": 1}
VIDEO = {"height": 2, "width": 2, "frames": 4}


def align_job(folder, **keys):
    prompts = folder / "prompts.txt"
    prompts.write_text("".join(f"sample {i}\n" for i in range(16)))
    job = json.loads((JOBS / "laboratory_align.json").read_text())
    return {**job, "prompts": {part: str(prompts) for part in ("train", "select", "eval")}, **keys}
