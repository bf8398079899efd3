"""What each online method asks of the network for a picture, as `thalweg plan` counts it by running the method of its job on latents of
one number.

    python tests/bench/method_costs.py [--write]      # fills docs/methods.md

Seconds: no weights are read."""

import argparse
import json
import pathlib
import subprocess
import sys

from cells import PROGRAM, ROOT, shipped, write

sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "tests/jobs")]

from job_schema import expanded  # noqa: E402
from stand_ins import stand_ins  # noqa: E402

PAGE = ROOT / "docs/methods.md"
NAMED_OTHERWISE = {"diffusion_nft": "nft_tiny"}
MORE = [("diffusion_nft", "marble_tiny")]  # three rewards, a gradient for each at every fifteenth update


def methods():
    """As the schema has them."""
    kinds = expanded(json.loads((ROOT / "assets/schema/job.schema.json").read_text()))["oneOf"]
    align = next(kind["properties"] for kind in kinds if kind["properties"]["job"].get("const") == "align")
    return [method["properties"]["name"]["const"] for method in align["method"]["oneOf"]]


def counts(name):
    """For a picture of a rollout: {phase: {what: how many}} of drawing it and of training on it."""
    path = ROOT / f"assets/jobs/{name}.json"
    done = subprocess.run([PROGRAM, "plan", path, "--estimate", "--json", *stand_ins(shipped(name))], capture_output=True, text=True,
                          cwd=ROOT, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    draws = {draw["phase"]: draw for draw in json.loads(done.stdout)["draws"]}
    return {phase: {key: value / draw["samples"] for key, value in draw.items() if key not in ("phase", "samples")}
            for phase, draw in draws.items()}


def number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"


def row(method, name):
    job, counted = shipped(name), counts(name)
    drawn, trained = counted["rollout"], counted.get("training", {})
    guidance = job["sampler"].get("guidance_scale", 1.0)
    shape = f"{job['sampler'].get('steps', 28)} steps" + (f", guidance {guidance:g}" if guidance > 1 else "")
    cells = [f"`{method}`", f"`{name}`", shape, number(drawn["network_evaluations"]), number(trained.get("network_evaluations", 0)),
             number(drawn["network_gradients"] + trained.get("network_gradients", 0)), number(drawn["reward_gradients"])]
    return "| " + " | ".join(cells) + " |"


def table():
    heads = ["method", "job", "rollout", "forwards to draw", "forwards to train", "backwards", "rewards' gradients"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    jobs = [(method, NAMED_OTHERWISE.get(method, f"{method}_tiny")) for method in methods()]
    return "\n".join(lines + [row(*job) for job in sorted(jobs + MORE, key=lambda job: methods().index(job[0]))])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="fill docs/methods.md")
    arguments = parser.parse_args()
    content = table()
    print(content)
    if arguments.write:
        write({"costs": content}, PAGE)


if __name__ == "__main__":
    main()
