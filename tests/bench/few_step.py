"""Generators of four steps on the embedded model: distilled, aligned by rewards, and their rivals, all on the whole of eval.txt.

    python tests/bench/few_step.py [--seeds 3] [--at-once 1] [--only MODEL] [--finished] [--write]

A model is a job of assets/jobs on one core, some of which start from another's model. Each is then evaluated at 1 to 28 steps without
guidance, the base also with guidance, with the same noise for all of a seed. A run that was stopped goes on, and one that is done is
not run again while its job, program, model and prompts are the same. --write fills docs/results/few_step.md, keeps what each model
measured in docs/results/few_step.json (not made again while its job is the same, unless --anew is given) and draws
docs/images/few_step.png, of the first captions, where all models of seed 0 are still there. About 50 CPU minutes a seed."""

import argparse
import concurrent.futures
import pathlib
import sys

from PIL import Image, ImageDraw

from cells import PROGRAM, ROOT, changed, cost, finished, lines_of, shipped, write
from kept_runs import KeptRuns
from methods_statistics import mean_and_spread

BASE = "assets/models/tiny-sd3"
EVEN = {"name": "shifted", "shift": 1.0}
STEPS = (1, 2, 4, 8, 28)
PROMPTS = {"world": "assets/prompts/scenes/eval.txt", "hard": "assets/prompts/scenes/hard_eval.txt"}
SHOWN = ("scene/strict", "scene/soft")
CELL, GAP, DRAWN = 64, 2, 14  # of a grid of pictures, eight in a row; how many of them the sheet shows

# Model: its title, its job, the model that it starts from, and what it changes of the job.
MODELS = {
    "base": ("base, no guidance", None, None, {}),
    "guided": ("base, guidance 2.5", None, None, {}),
    "awm": ("AWM, 28 steps' model", "awm_tiny", None, {}),
    "nft": ("DiffusionNFT, the same", "nft_tiny", None, {}),
    "flow_grpo": ("Flow-GRPO, the same", "flow_grpo_tiny", None, {}),
    "tdm": ("TDM", "tdm_tiny", None, {}),
    "aligned_tdm": ("AWM, then TDM", "tdm_tiny", "awm", {"method": {"guidance_scale": 1.0}}),
    "tdm_r1": ("TDM, then TDM-R1", "tdm_r1_tiny", "tdm", {}),
    "dmd2": ("DMD2", "dmd2_tiny", None, {}),
    "reward_forcing": ("DMD2, then Re-DMD", "reward_forcing_tiny", "dmd2", {}),
    "guidance_distill": ("guidance 2.5 distilled, 28 steps' model", "guidance_distill_tiny", None, {}),
    "tdm_r1_group": ("the same, the paper's surrogate", "tdm_r1_tiny", "tdm",
                     {"method": {"surrogate": {"loss": {"name": "group", "beta": 10.0}, "minimum": 0.25, "kl_beta": 0.001}}}),
    "nft_direct": ("TDM, then DiffusionNFT on it", "nft_tiny", "tdm", {"method": {"force": True}, "iterations": 24}),
    "dgpo_direct": ("TDM, then DGPO on it", "dgpo_tiny", "tdm", {"method": {"force": True}, "iterations": 14}),
}


def folder_of(arguments, name, seed):
    return arguments.folder / name / f"seed_{seed}"


def model_of(arguments, name, seed):
    return BASE if MODELS[name][1] is None else str(folder_of(arguments, name, seed) / "run/model")


def job_of(name):
    """The model's job, but for where it starts from and writes, and its seed."""
    job = changed(shipped(MODELS[name][1]), MODELS[name][3])
    job["parallel"] = {**job["parallel"], "workers": 1}
    if name.endswith("_direct"):
        job["evaluate"].update(steps=4, every=job["iterations"])
        job["sampler"].update(steps=4, schedule=EVEN)
        job["method"]["times_per_sample"] = min(job["method"].get("times_per_sample", 4), 2)
    return job


def train(arguments, name, seed):
    """The model's run, after those that it starts from; the rows of its metrics."""
    _, job_name, start, _ = MODELS[name]
    if job_name is None:
        return []
    if start:
        train(arguments, start, seed)
    job, folder = job_of(name), folder_of(arguments, name, seed) / "run"
    if start:
        job["model"]["path"] = model_of(arguments, start, seed)
    job.update(seed=seed, output=str(folder))
    finished(job, folder, go_on=True)
    return lines_of(folder / "metrics.jsonl")


def evaluation_of(name):
    """How a model is evaluated, but for the model, its steps, the captions and the noise."""
    return {"version": 1, "job": "evaluate",
            "model": {"path": BASE, "dtype": "bfloat16", "vae_dtype": "bfloat16", "max_sequence_length": 1},
            "size": {"height": 64, "width": 64}, "schedule": EVEN,
            "guidance": [{"guidance_scale": 2.5 if name == "guided" else 1.0}], "rewards": [{"plugin": "scene"}], "pictures": 64,
            "parallel": {"workers": 1, "micro_batch": 32}}


def evaluate(arguments, name, seed, steps, split):
    job, folder = evaluation_of(name), folder_of(arguments, name, seed) / f"{split}_{steps}"
    job["model"]["path"] = model_of(arguments, name, seed)
    job.update(prompts={"path": PROMPTS[split]}, steps=steps, seed=seed, output=str(folder))
    return {key: finished(job, folder)["evaluations"][0][key] for key in SHOWN}


def jobs_of(name):
    """All on which a model's numbers depend: its evaluation, its job, and those of the models that it starts from."""
    jobs = [evaluation_of(name)]
    while name is not None and MODELS[name][1]:
        jobs.append(job_of(name))
        name = MODELS[name][2]
    return {"jobs": jobs}


def result(arguments, name, seed):
    """What the model of a seed measured: {cpu, cpu_all, deviation, scores: {"world 4": ...}}."""
    if kept := arguments.kept.find(name, seed, jobs_of(name)):
        return kept
    rows = train(arguments, name, seed)
    start = MODELS[name][2]
    before = result(arguments, start, seed)["cpu_all"] if start else 0.0
    deviation = [row["clean_deviation"] for row in rows if "clean_deviation" in row]
    asked = [*(("world", steps) for steps in STEPS), ("hard", 4), ("hard", 28)]
    return arguments.kept.add(name, seed, jobs_of(name), {
        "cpu": cost(rows), "cpu_all": before + cost(rows), "deviation": deviation[-1] if deviation else None,
        "scores": {f"{split} {steps}": evaluate(arguments, name, seed, steps, split) for split, steps in asked}})


def line_of(name, runs):
    cells = [MODELS[name][0], str(len(runs))]
    cells += [mean_and_spread([run["scores"][f"world {steps}"][SHOWN[0]] for run in runs]) for steps in STEPS]
    cells += [mean_and_spread([run["scores"]["world 4"][SHOWN[1]] for run in runs])]
    cells += [mean_and_spread([run["scores"][f"hard {steps}"][SHOWN[0]] for run in runs]) for steps in (4, 28)]
    trained = MODELS[name][1] is not None
    cells += [mean_and_spread([run["cpu_all"] for run in runs], 0) if trained else ""]
    known = [run["deviation"] for run in runs if run["deviation"] is not None]
    cells += [mean_and_spread(known, 2) if known else ""]
    return "| " + " | ".join(cells) + " |"


def table(results):
    heads = ["model", "seeds", *[f"{n} steps" for n in STEPS], "soft, 4 steps", "hard, 4 steps", "hard, 28 steps", "CPU s in all",
             "clean deviation"]
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads),
                      *[line_of(name, runs) for name, runs in results.items() if runs]])


def sheet(arguments, names, path):
    """A row a model, of the same captions and noise."""
    rows = [(name, 28 if name == "guided" else 4) for name in names]
    left, step = 190, CELL + GAP
    picture = Image.new("RGB", (left + DRAWN * step, len(rows) * step), "white")
    draw = ImageDraw.Draw(picture)
    for row, (name, steps) in enumerate(rows):
        draw.text((4, row * step + CELL // 2 - 6), f"{MODELS[name][0]}, {steps} steps", fill="black")
        grid = Image.open(folder_of(arguments, name, 0) / f"world_{steps}/grid-0.png")
        for i in range(DRAWN):
            x, y = GAP + i % 8 * step, GAP + i // 8 * step
            picture.paste(grid.crop((x, y, x + CELL, y + CELL)), (left + i * step, row * step))
    picture.save(path, optimize=True)


def is_there(arguments, name, seed):
    return (folder_of(arguments, name, seed) / "hard_28/result.json").exists()


def is_done(arguments, name, seed):
    return arguments.kept.find(name, seed, jobs_of(name)) or is_there(arguments, name, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=1, help="seeds side by side, one core each")
    parser.add_argument("--only", choices=MODELS, action="append", help="these models alone, and those that they start from")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/few_step"))
    parser.add_argument("--finished", action="store_true", help="begin no run: a table of what is done")
    parser.add_argument("--anew", action="store_true", help="run what is kept as well")
    parser.add_argument("--write", action="store_true", help="fill docs/results/few_step.md, and keep what was measured")
    arguments = parser.parse_args()
    if not PROGRAM.exists():
        parser.error(f"no program {PROGRAM}: build it, or set THALWEG_PROGRAM")
    arguments.folder = arguments.folder.resolve()
    arguments.kept = KeptRuns(ROOT / "docs/results/few_step.json", arguments.anew)

    def of_seed(seed):
        names = arguments.only or MODELS
        return {name: result(arguments, name, seed) for name in names
                if not arguments.finished or is_done(arguments, name, seed)}

    with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:
        of_seeds = list(pool.map(of_seed, range(arguments.seeds)))
    content = table({name: [runs[name] for runs in of_seeds if name in runs] for name in MODELS})
    print(content)
    if arguments.write:
        arguments.kept.write()
        write({"few_step": content}, ROOT / "docs/results/few_step.md")
        if all(is_there(arguments, name, 0) for name in MODELS):
            sheet(arguments, MODELS, ROOT / "docs/images/few_step.png")


if __name__ == "__main__":
    sys.exit(main())
