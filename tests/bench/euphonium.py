"""Euphonium with a learned process reward beside Flow-GRPO at equal CPU time, and the reward's guidance distilled into the network.

    python tests/bench/euphonium.py [--seeds 3] [--cpu-seconds 240] [--at-once 1] [--finished] [--anew] [--write]

A seed trains a process reward, then one policy a row, on one core: the same job but for what the row says, lengths and times as in
methods.py. Then the guided sampler is distilled, and base, guided sampler and distilled policy draw the same captions from the same
noise. A run that was stopped goes on, and one that is done is not run again while its jobs, the program, the model and the prompts are
the same. --write fills docs/results/euphonium.md, draws docs/images/euphonium.svg once all rows have a run, and keeps what was
measured, after each run, in docs/results/euphonium.json: not made again, with the lengths that it has, unless --anew is given. About
40 CPU minutes a seed; the rehearsals at the start, two minutes, want a quiet machine."""

import argparse
import concurrent.futures
import pathlib
import sys
import threading

import numpy as np

import methods
from cells import PROGRAM, ROOT, changed, cost, finished, lines_of, shipped, write
from euphonium_tables import PLAIN, distilled_table, reward_table, training_table
from kept_runs import KeptRuns
from methods_statistics import held_out_curve
from process_reward import MIDDLE, nrg
from steering_rows import MEMORYLESS, STEPS

OWN = "flow_grpo_tiny"  # the job of all rows but for what follows, and a row of methods.py
NOISE = {"begin": 0, "size": 7}  # steps of ten that are drawn with noise and trained, in all rows
GUIDED = {"begin": 3, "size": 4}  # of these, sigma 0.67 to 0.33: above 0.8 the process reward knows little
C = 60.0  # flow_nrg's 40 there is 33 to 100
# Row: its title, and what Euphonium changes of Flow-GRPO's method; scores come with guidance, so that one without it has next to none.
ROWS = {
    PLAIN: ("Flow-GRPO", None),
    "euphonium": ("Euphonium", {"guidance": {"guidance_scale": C, "window": GUIDED}}),
    "guidance": ("its guidance alone", {"guidance": {"guidance_scale": C, "window": GUIDED}, "process": {"weight": 0.0}}),
    "process": ("its process advantages alone", {"guidance": {"guidance_scale": 1e-9, "window": GUIDED}}),
}
STRENGTH = nrg(40.0, window=MIDDLE)  # of the guided sampler, the best of docs/process_rewards.md


def folder_of(arguments, row, seed):
    return arguments.folder / row / f"seed_{seed}"


def measured(arguments, row, seed, jobs, work):
    """What is kept of these jobs, or what `work()` measures; None where no run shall begin."""
    kept = arguments.kept.find(row, seed, jobs)
    if kept or arguments.finished:
        return kept
    run = work()
    with arguments.lock:
        kept = arguments.kept.add(row, seed, jobs, run)
        if arguments.write:
            arguments.kept.write()
    return kept


def reward_job(arguments, seed):
    job = changed(shipped("train_reward_tiny"), {"parallel": {"workers": 1}, "seed": seed, "iterations": arguments.reward_iterations})
    job["evaluate"]["prompts"] = min(job["evaluate"]["prompts"], arguments.captions or 512)
    return job


def learned(arguments, seed):
    """The folder of the seed's process reward."""
    folder = folder_of(arguments, "reward", seed)
    finished({**reward_job(arguments, seed), "output": str(folder)}, folder, go_on=True)
    return folder / "process_reward"


def correlations(arguments, seed):
    """What the process reward cost, and its rank correlation with the outcome by noise level."""
    def work():
        folder = learned(arguments, seed).parent
        levels = finished({**reward_job(arguments, seed), "output": str(folder)}, folder)["held_out"]["levels"]
        return {"cpu": cost(lines_of(folder / "metrics.jsonl")), "levels": levels}
    return measured(arguments, "reward", seed, {"jobs": [reward_job(arguments, seed)]}, work)


def with_reward(job, path=""):
    process = {"plugin": "latent_prm", "config": {"path": str(path)}, "use": "process"}
    return {**job, "rewards": [*job["rewards"], process]}


def job_of(arguments, row, seed, iterations, folder="", **prompts):
    """The row's, without its process reward."""
    job = methods.job_of(arguments, OWN, seed, iterations, folder, **{**arguments.prompts, **prompts})
    changed(job, {"sampler": {"window": NOISE}})
    changes = ROWS[row][1]
    if changes:
        job["method"] = {**job["method"], **changes, "name": "euphonium", "step_fraction": 1.0, "std": {"ddof": 0, "eps": 1e-4}}
    return job


def rehearse(arguments, row):
    if row in arguments.kept.clock:
        return
    few, folder = str(arguments.folder / "few.txt"), folder_of(arguments, row, 0).parent / "rehearsal"
    job = job_of(arguments, row, 0, arguments.rehearsed, folder, select=few, eval=few)
    job = with_reward(job, learned(arguments, 0)) if ROWS[row][1] else job
    arguments.kept.clock[row] = methods.rehearsed(arguments, job, folder)


def trained(arguments, row, seed):
    """A policy's curve, and its scores at the end."""
    guided = ROWS[row][1] is not None

    def work():
        folder = folder_of(arguments, row, seed)
        job = job_of(arguments, row, seed, arguments.kept.clock[row][0], folder)
        result = finished(with_reward(job, learned(arguments, seed)) if guided else job, folder, go_on=True)
        return {"led": guided, "curve": held_out_curve(lines_of(folder / "metrics.jsonl"), methods.SHOWN[0]),
                "final": {key: result["eval"][key]["after"] for key in methods.SHOWN}}

    job = job_of(arguments, row, seed, 1)
    key = {**with_reward(job), "process_reward": reward_job(arguments, seed)} if guided else job
    return measured(arguments, row, seed, key, work)


def distillation(arguments, seed):
    """The job that distils the guided sampler, without its process reward."""
    job, plain = shipped("guidance_to_policy_tiny"), shipped(OWN)
    job.update(sampler={**job["sampler"], **MEMORYLESS, "steps": STEPS}, rewards=plain["rewards"], seed=seed,
               iterations=arguments.distill_iterations)
    every = max(1, arguments.distill_iterations // 5)
    job["prompts"].update(arguments.prompts)
    job["method"]["steering"] = STRENGTH
    job["evaluate"].update(every=every, steps=STEPS, metric=methods.SHOWN[0])
    job["checkpoint"]["every"] = every
    job["parallel"]["workers"] = 1
    return job


def drawing(arguments, seed, steering=()):
    job = distillation(arguments, seed)
    return {"version": 1, "job": "sample", "model": {key: value for key, value in job["model"].items() if key != "lora"},
            "prompts": {"path": "assets/prompts/scenes/eval.txt", "limit": arguments.captions},
            "images_per_prompt": arguments.images, "sampler": job["sampler"], "steering": list(steering), "rewards": job["rewards"],
            "save_images": False, "parallel": {"workers": 1, "micro_batch": 64}, "seed": 1000 + seed}


def draw(job, folder):
    result, rows = finished({**job, "output": str(folder)}, folder), lines_of(folder / "scores.jsonl")
    cpu = sum(time["cpu_s"] for time in result["time_phases"].values())
    return {"cpu_ms": 1e3 * cpu / len(rows), **{key: float(np.mean([row[key] for row in rows])) for key in methods.SHOWN}}


def distilled(arguments, seed):
    """What base, guided sampler and distilled policy draw, and what distilling cost."""
    job, plain = distillation(arguments, seed), drawing(arguments, seed)
    guided = drawing(arguments, seed, STRENGTH)

    def work():
        folder, path = folder_of(arguments, "distilled", seed), learned(arguments, seed)
        finished({**with_reward(job, path), "output": str(folder / "run")}, folder / "run", go_on=True)
        rows = lines_of(folder / "run/metrics.jsonl")
        policy = {**plain, "model": methods.trained_model(job, folder / "run")}
        drawn = {"base": plain, "guided": with_reward(guided, path), "distilled": policy}
        return {"cpu": cost(rows), "learnt": [row["distilled"] for row in rows if "distilled" in row][-1],
                "scores": {name: draw(of_name, folder / name) for name, of_name in drawn.items()}}

    return measured(arguments, "distilled", seed, {"jobs": [reward_job(arguments, seed), job, plain, guided]}, work)


def of_seed(arguments, seed):
    runs = {"reward": correlations(arguments, seed), **{row: trained(arguments, row, seed) for row in ROWS},
            "distilled": distilled(arguments, seed)}
    if own := arguments.own.find(OWN, seed, methods.job_of(arguments, OWN, seed, 1, "", **arguments.prompts)):
        runs[OWN] = {**own, "final": own["final"]["world"]}
    return {row: run for row, run in runs.items() if run}


def few_captions(arguments):
    """Files of the first captions, where not all are asked for."""
    methods.write_few(arguments)
    for key in ("select", "eval") if arguments.captions else ():
        path = arguments.folder / f"{key}.txt"
        path.write_text("".join((ROOT / f"assets/prompts/scenes/{key}.txt").read_text().splitlines(True)[:arguments.captions]))
        arguments.prompts[key] = str(path)


def asked():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cpu-seconds", type=float, default=240.0, help="of training, a policy")
    parser.add_argument("--rehearsed", type=int, default=5, help="iterations that say what one costs; 2 at least")
    parser.add_argument("--points", type=int, default=12, help="of a held-out curve, beside its start")
    parser.add_argument("--reward-iterations", type=int, default=16, help="of the process reward's training")
    parser.add_argument("--distill-iterations", type=int, default=60)
    parser.add_argument("--captions", type=int, default=0, help="the first held-out ones alone; 0: all")
    parser.add_argument("--images", type=int, default=4, help="samples a caption where base, guided and distilled are compared")
    parser.add_argument("--at-once", type=int, default=1, help="seeds side by side, one core each")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/euphonium"))
    parser.add_argument("--finished", action="store_true", help="begin no run: tables of what is kept")
    parser.add_argument("--anew", action="store_true", help="run what is kept as well")
    parser.add_argument("--write", action="store_true", help="fill docs/results/euphonium.md, and keep what was measured")
    arguments = parser.parse_args()
    if not PROGRAM.exists():
        parser.error(f"no program {PROGRAM}: build it, or set THALWEG_PROGRAM")
    arguments.folder = arguments.folder.resolve()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    arguments.split, arguments.prompts, arguments.lock = "world", {}, threading.Lock()
    arguments.kept = KeptRuns(ROOT / "docs/results/euphonium.json", arguments.anew)
    arguments.own = KeptRuns(ROOT / "docs/results/methods.json")
    few_captions(arguments)
    return arguments


def main():
    arguments = asked()
    for row in () if arguments.finished else ROWS:
        rehearse(arguments, row)
    with concurrent.futures.ThreadPoolExecutor(arguments.at_once) as pool:
        seeds = list(pool.map(lambda seed: of_seed(arguments, seed), range(arguments.seeds)))
    of = {row: [runs[row] for runs in seeds if row in runs] for row in ("reward", *ROWS, "distilled")}
    titles = {**{row: title for row, (title, _) in ROWS.items()}, OWN: "Flow-GRPO's own job, noise in the first four steps"}
    clocks = {**arguments.own.clock, **arguments.kept.clock}
    tables = {"process reward": reward_table(of["reward"]), "euphonium": training_table(titles, clocks, seeds),
              "distilled": distilled_table(of["distilled"])}
    for name, content in tables.items():
        print(f"\n## {name}\n{content}")
    if arguments.write:
        arguments.kept.write()
        if all(of[row] for row in ROWS):
            methods.plot(arguments, [(title, row, of[row]) for row, (title, _) in ROWS.items()], ROOT / "docs/images/euphonium.svg")
            tables["euphonium"] += "\n\n![Held-out strict score against CPU seconds](../images/euphonium.svg)"
        write(tables, ROOT / "docs/results/euphonium.md")


if __name__ == "__main__":
    sys.exit(main())
