"""Steering the embedded model with the scene reward at equal compute: every method against the base model and best-of-N,
mean and paired interval over held-out prompts, with a plot; and what clean estimates say about the end.

    python tests/bench/steering.py [--prompts 256] [--folder runs/steering] [--only scene|hard|redness|correlations] [--write]

Each cell of a table is one `sample` job with the same prompts and seed. A cell whose result is there is not run again, so a
stopped run goes on, unless the program, a plugin of the job, the model or the prompts have changed since. --write fills
docs/results/steering.md and docs/images/steering.svg. About 35 minutes on two cores."""

import argparse
import pathlib

import numpy as np

from cells import PROGRAM, ROOT, finished, lines_of, write
from steering_plot import plot
from steering_rows import (MEMORYLESS, MULTIPLES, ODE, STEPS, base_rows, best_of_rows, cheap_rows,
                           gradient_rows, hard_base_rows, hard_rows, scene_rows, settings)

SCENE = {"name": "scene", "strength": 20.0, "rewards": [{"plugin": "scene", "dimensions": {"soft": 1.0}}],
         "shown": ["scene/strict", "scene/soft"]}
HARD = {**SCENE, "name": "hard", "prompts": "assets/prompts/scenes/hard_eval.txt"}
REDNESS = {"name": "redness", "strength": 100.0, "rewards": [{"plugin": "color"}, {"plugin": "scene", "weight": 0}],
           "shown": ["color/redness", "scene/strict"]}
SETTINGS = {"scene settings": lambda: settings(scene_rows(SCENE["strength"]) + cheap_rows(SCENE["strength"])),
            "hard settings": lambda: settings(hard_rows(HARD["strength"])),
            "redness settings": lambda: settings(gradient_rows(REDNESS["strength"]))}
ESTIMATED_AT = (0, 4, 8, 12, 14, 20)


def job(arguments, task, steps, sampler, steering, output):
    return {
        "version": 1, "job": "sample",
        "model": {"path": "assets/models/tiny-sd3", "dtype": "bfloat16", "vae_dtype": "bfloat16", "max_sequence_length": 1},
        "prompts": {"path": task.get("prompts", "assets/prompts/scenes/eval.txt"), "limit": arguments.prompts},
        "sampler": {**sampler, "steps": steps, "height": 64, "width": 64},
        "steering": steering, "rewards": task["rewards"], "save_images": False,
        "parallel": {"micro_batch": 64, "workers": arguments.workers}, "seed": 7, "output": str(output)}


def folder_of(arguments, *names):
    return arguments.folder.resolve().joinpath(*("".join(c if c.isalnum() else "_" for c in name) for name in names))


def run(arguments, reward, name, steps, sampler, steering):
    """Scores by sample and what they cost."""
    folder = folder_of(arguments, reward["name"], name)
    result = finished(job(arguments, reward, steps, sampler, steering, folder), folder)
    rows = lines_of(folder / "scores.jsonl")
    cost = result.get("steering", {})
    samples = len(rows)
    guided = 2 if sampler.get("guidance_scale", 1.0) != 1.0 else 1
    cpu = sum(time["cpu_s"] for time in result["time_phases"].values())
    return {"name": name, "sampler": sampler, "reward_calls": cost.get("reward_calls_per_sample", 0),
            "cpu_ms": 1e3 * cpu / samples, "evaluations": cost.get("network_evaluations_per_sample", steps * guided),
            "gradients": cost.get("network_gradients", 0) / samples,
            "scores": {k: np.array([np.nan if row[k] is None else row[k] for row in rows]) for k in reward["shown"]}}


def cells_of(arguments, reward, rows):
    return {(name, n): run(arguments, reward, f"{name}, {n}x" if n > 1 else name, STEPS, sampler, [steering(n)])
            for m in (1, *MULTIPLES) for name, sampler, steering, multiples in rows for n in multiples if n == m}


def equal_compute(arguments, reward, cell):
    """best_of_n with the sampler of `cell` and as many samples as its evaluations pay for; of 1, the sampler alone."""
    sampler, n = cell["sampler"], max(1, round(cell["evaluations"] / STEPS))
    if n == 1:
        return run(arguments, reward, sampler["name"], STEPS, sampler, [])
    name, _, steering, _ = best_of_rows((sampler,), (n,))[0]
    return run(arguments, reward, f"{name}, {n}x", STEPS, sampler, [steering(n)])


def interval(difference):
    """95 % half width of the mean of paired differences."""
    return 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))


def table(reward, cells, against):
    """`against(cell)` is what a cell is compared with; a cell is not compared with itself."""
    shown = reward["shown"]
    lines = ["| method | network evaluations | with gradient | reward calls | CPU ms | " +
             " | ".join(f"`{k}`" for k in shown) + f" | `{shown[0]}` against | difference |",
             "|---|" + "---|" * (6 + len(shown))]
    for cell in cells:
        other = against(cell)
        compared = "| | |"
        if other["name"] != cell["name"]:
            difference = cell["scores"][shown[0]] - other["scores"][shown[0]]
            compared = f"| {other['name']} | {difference.mean():+.3f} ± {interval(difference):.3f} |"
        means = " | ".join(f"{np.nanmean(cell['scores'][k]):.3f}" for k in shown)
        lines.append(f"| {cell['name']} | {cell['evaluations']:.0f} | {cell['gradients']:.0f} | {cell['reward_calls']:.0f} | "
                     f"{cell['cpu_ms']:.0f} | {means} {compared}")
    return "\n".join(lines)


def table_at_equal_compute(arguments, reward, cells):
    """With the rows of best_of_n that `cells` are compared with and that are not among them."""
    others = {cell["name"]: equal_compute(arguments, reward, cell) for cell in cells}
    missing = {other["name"]: other for other in others.values() if other["name"] not in others}
    return table(reward, [*cells, *missing.values()], lambda cell: others.get(cell["name"], cell))


def scene_tables(arguments):
    bases = {name: run(arguments, SCENE, name, steps, sampler, []) for name, steps, sampler in base_rows()}
    steered = cells_of(arguments, SCENE, scene_rows(SCENE["strength"]))
    cheap = cells_of(arguments, SCENE, cheap_rows(SCENE["strength"]))
    tables = {"without": table(SCENE, bases.values(), lambda cell: bases["flow_ode"]),
              "cheap": table_at_equal_compute(arguments, SCENE, [bases["memoryless"], *cheap.values()])}
    for n in MULTIPLES:
        tables[f"{n}x"] = table_at_equal_compute(arguments, SCENE, [cell for (_, m), cell in steered.items() if m == n])
    if arguments.write:
        curves = {}
        for (name, _), cell in steered.items():
            if sum(other == name for other, _ in steered) > 1:
                curves.setdefault(name, []).append((cell["evaluations"], float(cell["scores"]["scene/strict"].mean())))
        base_point = (STEPS, float(bases["flow_ode"]["scores"]["scene/strict"].mean()))
        plot(curves, base_point, "scene/strict", ROOT / "docs/images/steering.svg")
    return tables


def hard_tables(arguments):
    bases = {name: run(arguments, HARD, name, STEPS, sampler, []) for name, sampler in hard_base_rows()}
    cells = cells_of(arguments, HARD, hard_rows(HARD["strength"]))
    tables = {"hard": table(HARD, bases.values(), lambda cell: bases["flow_ode"])}
    for n in (4, 8, 16):
        tables[f"hard {n}x"] = table_at_equal_compute(arguments, HARD, [cell for (_, m), cell in cells.items() if m == n])
    return tables


def redness_tables(arguments):
    bases = [run(arguments, REDNESS, sampler["name"], STEPS, sampler, []) for sampler in (ODE, MEMORYLESS)]
    cells = cells_of(arguments, REDNESS, gradient_rows(REDNESS["strength"]))
    return {"redness": table_at_equal_compute(arguments, REDNESS, [*bases, *cells.values()])}


def correlations(arguments):
    """Of the score of the clean estimate at a step with the final one, among the samples of a prompt. The estimate is had
    from the sampler with the same noise until that step and one step from there to the end; at step 0, of the ODE."""
    prompts, each = min(32, arguments.prompts), 8

    def scores(name, steps, sampler):
        folder = folder_of(arguments, "correlations", name)
        wanted = job(arguments, SCENE, steps, sampler, [], folder)
        wanted["prompts"] = {"path": "assets/prompts/scenes/select.txt", "limit": prompts}
        finished({**wanted, "images_per_prompt": each}, folder)
        by_prompt = np.array([row["scene/soft"] for row in lines_of(folder / "scores.jsonl")]).reshape(prompts, each)
        return by_prompt.mean(), by_prompt - by_prompt.mean(1, keepdims=True)

    def estimate(step):
        if step == 0:
            return scores("step 0", 1, ODE)
        return scores(f"step {step}", STEPS, {**MEMORYLESS, "window": from_start(step), "tail_ratio": 0.01})

    mean, final = scores("end", STEPS, MEMORYLESS)
    columns = [("end", mean, 1.0)]
    for step in reversed(ESTIMATED_AT):
        mean, early = estimate(step)
        columns.insert(0, (str(step), mean, (early * final).sum() / np.sqrt((early**2).sum() * (final**2).sum())))
    return {"correlations": "\n".join([
        "| clean estimate at step | " + " | ".join(step for step, _, _ in columns) + " |", "|---" * (1 + len(columns)) + "|",
        "| its `scene/soft`, mean | " + " | ".join(f"{mean:.2f}" for _, mean, _ in columns) + " |",
        "| correlation with the end | " + " | ".join(f"{value:.2f}" for _, _, value in columns) + " |"])}


def from_start(size):
    return {"begin": 0, "size": size}


PARTS = {"scene": scene_tables, "hard": hard_tables, "redness": redness_tables, "correlations": correlations}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/steering"))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--write", action="store_true", help="fill docs/results/steering.md")
    arguments = parser.parse_args()
    if not PROGRAM.exists():
        parser.error(f"no program {PROGRAM}: build it, or set THALWEG_PROGRAM")
    tables = {name: content() for name, content in SETTINGS.items()}
    for name in [arguments.only] if arguments.only else PARTS:
        tables.update(PARTS[name](arguments))
    for name, content in tables.items():
        print(f"\n## {name}\n{content}")
    if arguments.write:
        write(tables, ROOT / "docs/results/steering.md")


if __name__ == "__main__":
    main()
