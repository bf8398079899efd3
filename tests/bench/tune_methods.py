"""How the settings of the rows of methods.py were found: for every method the same number of short runs, each with one
thing changed in its job, judged by the trained reward on captions that are in no table's final scores.

    python tests/bench/tune_methods.py [--cpu-seconds 48] [--only ROW] [--at-once 1] [--write]

Prints, for each row, what was tried and how it scored, best first; the best is what stands in assets/jobs once a person has
written it there. Of a seed that no table uses. Runs that are done are not run again."""

import argparse
import concurrent.futures
import copy
import pathlib
import sys

import methods
from cells import PROGRAM, ROOT, finished, lines_of, write

SEED, REHEARSED = 100, 3
RATES = (1.2e-4, 3.6e-4)
LORA = {"/model/lora": {"rank": 16, "alpha": 32}, "/optimizer/learning_rate": 1e-3}
ODE_20 = {"/sampler/name": "flow_ode", "/sampler/steps": 20, "/sampler/guidance_scale": 1.0, "/optimizer/learning_rate": 4e-5,
          "/ema_decay": 0.9}
SDE_10 = {"/sampler/name": "flow_sde", "/sampler/steps": 10, "/sampler/guidance_scale": 1.0, "/sampler/noise_level": 0.7}
SLOWER = {"/optimizer/learning_rate": 6e-5}
NOISIER = {"/sampler/noise_level": 1.0}
SDE_WINDOW = {"/sampler/name": "flow_sde", "/sampler/noise_level": 0.7}
# A row's three runs of its own: {JSON pointer: value, or None to leave it out}.
OWN = {
    "nft_tiny": [{"/method/beta": 0.3}, SLOWER, {"/method/beta": 0.1}],
    "awm_tiny": [{"/method/ema_kl_beta": 0.3}, SLOWER, {"/method/ema_kl_beta": 0.1}],
    "dgpo_tiny": [{"/method/kl_beta": 0.0}, SLOWER, {"/method/beta": 300.0}],
    "crd_tiny": [{"/method/kl_beta": 0.01}, {"/optimizer/learning_rate": 7.2e-4}, {"/method/beta": 0.3}],
    "flow_dpo_tiny": [{"/method/beta": 1000.0}, SLOWER, {"/method/beta": 30.0}],
    "flow_rwr_tiny": [{**ODE_20, "/method/beta": 0.1}, {**SDE_10, "/method/beta": 0.1, "/method/kl_beta": 0.3},
                      {**SDE_10, "/method/beta": 0.1, "/method/kl_beta": 1.0, "/optimizer/learning_rate": 2e-5}],
    "sft_tiny": [ODE_20, {**SDE_10, "/method/kl_beta": 0.3, "/method/times_per_sample": 10},
                 {**SDE_10, "/method/kl_beta": 1.0, "/method/times_per_sample": 10, "/optimizer/learning_rate": 2e-5}],
    "flow_grpo_fast_tiny": [LORA, {"/model/lora": None, "/optimizer/learning_rate": 1.2e-4, **SDE_WINDOW},
                            {"/model/lora": None, "/optimizer/learning_rate": 4e-5}],
    "dance_grpo_tiny": [LORA, {"/model/lora": None, "/optimizer/learning_rate": 1.2e-4, "/sampler/noise_level": 0.7},
                        {"/model/lora": None, "/optimizer/learning_rate": 1.2e-4, "/method/global_std": True}],
    "grpo_guard_tiny": [LORA, SLOWER, {"/method/clip_range": 1e-3}],
    "flow_dppo_tiny": [LORA, SLOWER, {"/method/divergence_threshold": 1e-4}],
}


def trials(name):
    """Patches of a row's job, five for each: two learning rates for all weights, and its own, or those of the GRPO family."""
    return [{"/model/lora": None, "/optimizer/learning_rate": rate} for rate in RATES] + OWN.get(name, [LORA, SLOWER, NOISIER])


def rehearsed_with(number):
    """The trial whose iterations cost as much: that depends on no learning rate."""
    return number if number >= len(RATES) else 0


def patched(job, patch):
    job = copy.deepcopy(job)
    for pointer, value in patch.items():
        *sections, key = pointer.strip("/").split("/")
        place = job
        for section in sections:
            place = place[section]
        if value is None:
            place.pop(key, None)
        else:
            place[key] = value
    return job


def said(patch):
    words = {"/model/lora": lambda lora: "all weights" if lora is None else f"LoRA, rank {lora['rank']}",
             "/optimizer/learning_rate": lambda rate: f"rate {rate:.1e}"}
    return ", ".join(words[key](value) if key in words else f"`{key}` {value}" for key, value in patch.items())


def cpu_seconds(arguments, name, number):
    """Of an iteration."""
    folder = arguments.folder / name / f"rehearsal_{number}"
    job = methods.job_of(arguments, name, 0, REHEARSED, folder, select=arguments.few, eval=arguments.few)
    finished(patched(job, trials(name)[number]), folder)
    return [row["time_phases"]["iteration"]["cpu_s"] for row in lines_of(folder / "metrics.jsonl") if row["kind"] == "train"]


def trial(arguments, name, number, iterations):
    """The trained reward on `select`, at the start and at the end."""
    folder = arguments.folder / name / f"trial_{number}"
    job = patched(methods.job_of(arguments, name, SEED, iterations, folder, eval=arguments.few), trials(name)[number])
    finished(job, folder, go_on=True)
    rows = [row for row in lines_of(folder / "metrics.jsonl") if row["kind"] == "eval"]
    weights = job["rewards"][0]["dimensions"]
    return [sum(weight * row[f"scene/{key}"] for key, weight in weights.items()) for row in (rows[0], rows[-1])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu-seconds", type=float, default=48.0, help="of training, a trial")
    parser.add_argument("--only", choices=[name for _, name in methods.ROWS], help="one row alone")
    parser.add_argument("--at-once", type=int, default=1, help="runs side by side, one core each")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/methods_tuning"))
    parser.add_argument("--write", action="store_true", help="fill docs/results/methods.md")
    arguments = parser.parse_args()
    if not PROGRAM.exists():
        parser.error(f"no program {PROGRAM}: build it, or set THALWEG_PROGRAM")
    arguments.folder, arguments.split, arguments.points = arguments.folder.resolve(), "world", 1
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.few = methods.write_few(arguments)
    titles = {name: title for title, name in methods.ROWS if arguments.only in (None, name)}
    with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:
        wanted = [(name, number) for name in titles for number in range(len(trials(name)))]
        classes = sorted({(name, rehearsed_with(number)) for name, number in wanted})
        seconds = dict(zip(classes, pool.map(lambda call: methods.attempted(cpu_seconds, arguments, *call), classes)))
        iterations = {call: methods.iterations_within(arguments.cpu_seconds, of) for call, of in seconds.items() if of}
        wanted = [(name, number, iterations[name, rehearsed_with(number)]) for name, number in wanted
                  if (name, rehearsed_with(number)) in iterations]
        scores = dict(zip([call[:2] for call in wanted],
                          pool.map(lambda call: methods.attempted(trial, arguments, *call), wanted)))
    lines = ["| method | tried, from best to worst: the trained reward after |", "|---|---|"]
    for name, title in titles.items():
        of_row = [(scores[name, i][-1], said(patch)) for i, patch in enumerate(trials(name)) if scores.get((name, i))]
        lines.append(f"| {title} | " + "; ".join(f"{what}: {score:.3f}" for score, what in sorted(of_row, reverse=True)) + " |")
    content = "\n".join(lines)
    print(content)
    if arguments.write:
        write({"tuning": content}, ROOT / "docs/results/methods.md")
    return 0 if scores and all(scores.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
