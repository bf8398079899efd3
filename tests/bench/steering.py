"""Steering the embedded model with the scene reward at equal compute: every method against the base model and best-of-N,
mean and paired interval over held-out prompts, with a plot.

    python tests/bench/steering.py [--prompts 256] [--folder runs/steering] [--only scene|redness] [--write]

Each cell of the table is one `sample` job with the same prompts and seed; a cell whose result is there is not run again, so a
stopped run goes on. --write fills docs/results/steering.md and docs/images/steering.svg. About an hour on two cores."""

import argparse
import json
import os
import pathlib
import subprocess

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("THALWEG_PROGRAM", ROOT / "build/release/thalweg"))
STEPS = 28
MULTIPLES = (2, 4, 8, 16)
SCENE = {"name": "scene", "strength": 20.0, "rewards": [{"plugin": "scene", "dimensions": {"soft": 1.0}}],
         "shown": ["scene/strict", "scene/soft"]}
REDNESS = {"name": "redness", "strength": 100.0, "rewards": [{"plugin": "color"}, {"plugin": "scene", "weight": 0}],
           "shown": ["color/redness", "scene/strict"]}
ODE = {"name": "flow_ode"}
SDE = {"name": "flow_sde", "noise_level": 0.7}
MEMORYLESS = {"name": "memoryless"}


def base_rows():
    """(name, steps, sampler): what is there without steering, at 1 and at more evaluations."""
    rows = [("flow_ode", STEPS, ODE), ("flow_sde", STEPS, SDE), ("memoryless", STEPS, MEMORYLESS)]
    rows += [(f"flow_ode, {STEPS * n} steps", STEPS * n, ODE) for n in (2, 4)]
    return rows + [("flow_ode, guidance 1.5", STEPS, {**ODE, "guidance_scale": 1.5})]


def steered_rows(strength):
    """(name, sampler, steering of multiple n, multiples): about n times the network evaluations of one sample."""

    def fk(n, **keys):
        return {"name": "fk", "particles": n, "lambda": strength, "interval": 4, **keys}

    def doob(n, **keys):
        return {"name": "doob", "candidates": n, "temperature": 0.3, "window": {"begin": 2, "size": 0}, **keys}

    return [
        ("best_of_n, flow_ode", ODE, lambda n: {"name": "best_of_n", "particles": n}, MULTIPLES),
        ("best_of_n", MEMORYLESS, lambda n: {"name": "best_of_n", "particles": n}, MULTIPLES),
        ("fk", MEMORYLESS, lambda n: fk(n), MULTIPLES),
        ("fk from step 12", MEMORYLESS, lambda n: fk(n, window={"begin": 12, "size": 0}), MULTIPLES),
        ("fk from step 12, returned best", MEMORYLESS,
         lambda n: fk(n, window={"begin": 12, "size": 0}, returned="best"), MULTIPLES),
        ("fk max", MEMORYLESS, lambda n: fk(n, potential="max"), (4,)),
        ("fk, flow_sde", SDE, lambda n: fk(n), (4,)),
        ("svdd", MEMORYLESS, lambda n: {"name": "svdd", "candidates": n, "temperature": 1 / strength}, MULTIPLES),
        ("doob pick, recompute", MEMORYLESS, lambda n: doob(n, form="pick", lookahead="recompute"), MULTIPLES),
        ("doob drift, recompute", MEMORYLESS, lambda n: doob(n, form="drift", lookahead="recompute"), (4,)),
        ("doob pick, rollout of 2", MEMORYLESS,
         lambda n: doob(n, form="pick", lookahead="rollout", rollout_steps=2), (4,)),
    ]


def cheap_rows(strength):
    """Many rewards of one look ahead: no more evaluations of the network, n rewards a step."""

    def doob(n, **keys):
        return {"name": "doob", "candidates": n, "lookahead": "shared", "temperature": 0.3,
                "window": {"begin": 2, "size": 0}, **keys}

    return [
        ("doob pick, shared", MEMORYLESS, lambda n: doob(n, form="pick"), (4, 16)),
        ("doob drift, shared", MEMORYLESS, lambda n: doob(n, form="drift", gamma=0.5), (4,)),
        ("doob vjp, shared", MEMORYLESS, lambda n: doob(n, form="vjp", gamma=0.5), (4,)),
        ("spsa", MEMORYLESS, lambda n: {"name": "spsa", "probes": n // 2, "lambda": strength / 10, "radius": 0.1,
                                        "max_sigma": 0.8}, (4,)),
    ]


def gradient_rows(strength):
    """For a reward with a gradient; a network evaluation with its gradient, the decoder's included, costs about ten."""

    def fk(strength):
        return lambda n: {"name": "fk", "particles": n, "lambda": strength, "interval": 4}

    return [
        ("best_of_n", MEMORYLESS, lambda n: {"name": "best_of_n", "particles": n}, (4, 8)),
        ("fk", MEMORYLESS, fk(strength), (4, 8)),
        ("fk, lambda 1000", MEMORYLESS, fk(1000.0), (4,)),
        ("svdd", MEMORYLESS, lambda n: {"name": "svdd", "candidates": n, "temperature": 1 / strength}, (4,)),
        ("svdd, temperature 0.001", MEMORYLESS, lambda n: {"name": "svdd", "candidates": n, "temperature": 0.001}, (4,)),
        ("doob pick, recompute", MEMORYLESS, lambda n: {"name": "doob", "candidates": n, "temperature": 0.1}, (4,)),
        ("das", MEMORYLESS, lambda n: {"name": "das", "particles": n, "lambda": strength}, (4,)),
        ("guided_smc", MEMORYLESS, lambda n: {"name": "guided_smc", "particles": n, "lambda": strength}, (4,)),
    ]


def job(arguments, rewards, steps, sampler, steering, output):
    return {
        "version": 1, "job": "sample",
        "model": {"path": "assets/models/tiny-sd3", "dtype": "bfloat16", "vae_dtype": "bfloat16", "max_sequence_length": 1},
        "prompts": {"path": "assets/prompts/scenes/eval.txt", "limit": arguments.prompts},
        "sampler": {**sampler, "steps": steps, "height": 64, "width": 64},
        "steering": steering, "rewards": rewards, "save_images": False,
        "parallel": {"micro_batch": 64, "workers": arguments.workers}, "seed": 7, "output": str(output)}


def run(arguments, reward, name, steps, sampler, steering):
    """Scores by sample and what they cost; runs the job unless its result is there."""
    folder = arguments.folder / reward["name"] / "".join(c if c.isalnum() else "_" for c in name)
    wanted = job(arguments, reward["rewards"], steps, sampler, steering, folder)
    kept = folder / "bench_job.json"
    if not (kept.exists() and json.loads(kept.read_text()) == wanted and (folder / "result.json").exists()):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench_next.json").write_text(json.dumps(wanted))
        print(name, flush=True)
        subprocess.run([PROGRAM, "run", folder / "bench_next.json"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        kept.write_text(json.dumps(wanted))
    result = json.loads((folder / "result.json").read_text())
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    cost = result.get("steering", {})
    samples = len(rows)
    guided = 2 if sampler.get("guidance_scale", 1.0) != 1.0 else 1
    cpu = sum(time["cpu_s"] for time in result["time_phases"].values())
    return {"name": name, "reward_calls": cost.get("reward_calls_per_sample", 0) , "cpu_ms": 1e3 * cpu / samples,
            "evaluations": cost.get("network_evaluations_per_sample", steps * guided),
            "gradients": cost.get("network_gradients", 0) / samples, "ancestors": cost.get("unique_ancestors"),
            "scores": {k: np.array([np.nan if row[k] is None else row[k] for row in rows]) for k in reward["shown"]}}


def cells_of(arguments, reward, rows):
    return {(name, n): run(arguments, reward, f"{name}, {n}x", STEPS, sampler, [steering(n)])
            for m in MULTIPLES for name, sampler, steering, multiples in rows for n in multiples if n == m}


def interval(difference):
    """95 % half width of the mean of paired differences."""
    return 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))


def table(reward, cells, base, against="base"):
    lines = ["| method | network evaluations | with gradient | reward calls | CPU ms | " +
             " | ".join(f"`{k}`" for k in reward["shown"]) + f" | `{reward['shown'][0]}` against {against} |",
             "|---|" + "---|" * (5 + len(reward["shown"]))]
    for cell in cells:
        difference = cell["scores"][reward["shown"][0]] - base["scores"][reward["shown"][0]]
        means = " | ".join(f"{np.nanmean(cell['scores'][k]):.3f}" for k in reward["shown"])
        lines.append(f"| {cell['name']} | {cell['evaluations']:.0f} | {cell['gradients']:.0f} | {cell['reward_calls']:.0f} | "
                     f"{cell['cpu_ms']:.0f} | {means} | {difference.mean():+.3f} ± {interval(difference):.3f} |")
    return "\n".join(lines)


COLORS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0"]


def plot(curves, base, key, path):
    """`curves`: {name: [(evaluations, mean)]}; a small SVG of its own, evaluations on a logarithmic axis."""
    width, height, left, bottom, right = 820, 420, 60, 50, 250
    xs = [x for points in curves.values() for x, _ in points] + [base[0]]
    ys = [y for points in curves.values() for _, y in points] + [base[1]]
    low, high = min(ys), max(ys)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    x0, x1 = np.log2(min(xs)), np.log2(max(xs))

    def at(x, y):
        return (left + (np.log2(x) - x0) / (x1 - x0) * (width - left - right),
                height - bottom - (y - low) / (high - low) * (height - bottom - 20))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for x in sorted({STEPS * m for m in (1, *MULTIPLES)}):
        px, _ = at(x, low)
        out.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="20" y2="{height - bottom}" stroke="#e3e3e3"/>'
                   f'<text x="{px:.1f}" y="{height - bottom + 18}" text-anchor="middle">{x}</text>')
    for y in np.linspace(low, high, 6):
        _, py = at(xs[0], y)
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{py:.1f}" y2="{py:.1f}" stroke="#e3e3e3"/>'
                   f'<text x="{left - 8}" y="{py + 4:.1f}" text-anchor="end">{y:.2f}</text>')
    for color, (name, points) in zip(COLORS, curves.items()):
        path_points = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(*p) for p in [base] + sorted(points)))
        out.append(f'<polyline points="{path_points}" fill="none" stroke="{color}" stroke-width="2"/>')
        out += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{color}"/>' for px, py in (at(*p) for p in points)]
    for i, (color, name) in enumerate(zip(COLORS, curves)):
        y = 40 + 22 * i
        out.append(f'<line x1="{width - right + 20}" x2="{width - right + 44}" y1="{y - 4}" y2="{y - 4}" stroke="{color}" '
                   f'stroke-width="3"/><text x="{width - right + 52}" y="{y}">{name}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">network evaluations a sample</text>'
               f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">{key}, mean</text></svg>')
    path.write_text("\n".join(out) + "\n")


def scene_tables(arguments):
    bases = [run(arguments, SCENE, name, steps, sampler, []) for name, steps, sampler in base_rows()]
    steered = cells_of(arguments, SCENE, steered_rows(SCENE["strength"]))
    cheap = cells_of(arguments, SCENE, cheap_rows(SCENE["strength"]))
    tables = {"without": table(SCENE, bases, bases[0]), "cheap": table(SCENE, cheap.values(), bases[0])}
    for n in MULTIPLES:
        rows = [cell for (_, m), cell in steered.items() if m == n]
        tables[f"{n}x"] = table(SCENE, rows, steered["best_of_n", n], "best_of_n")
    if arguments.write:
        curves = {}
        for (name, _), cell in steered.items():
            if sum(other == name for other, _ in steered) > 1:
                curves.setdefault(name, []).append((cell["evaluations"], float(cell["scores"]["scene/strict"].mean())))
        base_point = (STEPS, float(bases[0]["scores"]["scene/strict"].mean()))
        plot(curves, base_point, "scene/strict", ROOT / "docs/images/steering.svg")
    return tables


def redness_tables(arguments):
    base = run(arguments, REDNESS, "flow_ode", STEPS, ODE, [])
    dps = [run(arguments, REDNESS, f"dps, lambda {k:g}", STEPS, MEMORYLESS, [{"name": "dps", "lambda": k, "max_sigma": 0.9}])
           for k in (30.0, 100.0)]
    steered = cells_of(arguments, REDNESS, gradient_rows(REDNESS["strength"]))
    return {"redness": table(REDNESS, [base, *dps, *steered.values()], base)}


PARTS = {"scene": scene_tables, "redness": redness_tables}


def write(tables):
    path = ROOT / "docs/results/steering.md"
    text = path.read_text()
    for name, content in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        head, rest = text.split(begin)
        text = head + begin + content + "\n" + end + rest.split(end, 1)[1]
    path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/steering"))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--only", choices=PARTS, help="one reward alone")
    parser.add_argument("--write", action="store_true", help="fill docs/results/steering.md")
    arguments = parser.parse_args()
    tables = {}
    for name in [arguments.only] if arguments.only else PARTS:
        tables.update(PARTS[name](arguments))
    for name, content in tables.items():
        print(f"\n## {name}\n{content}")
    if arguments.write:
        write(tables)


if __name__ == "__main__":
    main()
