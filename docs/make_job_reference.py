"""Writes docs/jobs.md and assets/schema/job.schema.json from the program's own description of its jobs.

    python3 docs/make_job_reference.py

runs `build/release/thalweg schema` (THALWEG_PROGRAM names another program). Keys, bounds, defaults and meanings come
from there; what a schema cannot say (examples, rules across keys, what a job writes) is in NOTES below.
"""
import json
import os
import pathlib
import subprocess

from job_schema import expanded

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "jobs.md"
SCHEMA = ROOT / "assets" / "schema" / "job.schema.json"

INTRODUCTION = """# The job file

<!-- Written by docs/make_job_reference.py. Change the descriptions in the sources or the notes there, not this file. -->

A job is one JSON object (at most 4 MiB). `thalweg run JOB.json` runs it, `thalweg validate JOB.json` checks it, and that
its files and plugins exist, without loading a model; `thalweg schema` prints its JSON schema (draft 7, also in `assets/schema/job.schema.json`).

- `--set /json/pointer=value` replaces or adds one value (JSON, or else text), `--output DIR` the output folder;
  `--device cpu|cuda|cuda:N` sets `/device`, which the kinds of job that know it pin: a run goes on where it began.
- Relative paths are relative to the working directory.
- A key that nothing reads, a wrong type and a value out of bounds are errors that name the JSON pointer; an unknown key
  or name is answered with the nearest known one. A key may stand once. Bounds below are inclusive.
- A key that may be left out has the default shown. A section that may be left out has the defaults of its keys, unless
  its meaning says what its absence does.
- Every run begins by writing `job.json` to its output folder: the job with every default spelt out.
- An output folder with the results of another job, or with checkpoints of one, is refused; the same job goes on there, or
  begins anew, without its old pictures.
- A job of which nothing came fails with exit code 2, once it has written what there is: not one sample was scored, or not one
  value for its steering.
- Exit codes: 0 done; 2 the job or its inputs are wrong; 3 stopped by SIGINT, SIGTERM or SIGHUP, or paused (`/failed_rewards`); 1 anything else, samples that are
  not finite numbers among them. Every job keeps what is done when it is stopped, and now and then before, and goes on from there
  when the same command is run again, after a kill too. A second SIGINT or SIGTERM ends it at once (130, 143).
- A reward that does not return for 30 s after the first signal is given up: exit code 3, without what was done since the last
  checkpoint. `THALWEG_GRACE_SECONDS` in the environment is another time.
- Two processes of the program run: the one that was started watches the other, and says how it ended. `THALWEG_UNWATCHED=1` in the
  environment runs the job in the first one, for debuggers and profilers; a crash then leaves no result.
"""

LORA_OF_A_FILE = ("`/model/lora`, where given, needs its `path`; rank, alpha and layers are then those of the file. `/model/loras` in its "
                  "place adds several files up: the update of a layer is the sum of weight times scale times B A over the files that have it.")
ONE_SOURCE = "`/prompts` has either `texts` or `path` ([prompts.md](prompts.md): what a file may hold)."
WINDOWS = ("Windows and intervals (`begin`, `size`) lie within the steps of `/sampler/steps`; size 0 is to the end, so begin 0 "
           "with size 0 is every step.")
SCORED_REPORT = "`report.html`: rewards, the first samples (64, of several guidance scales 64 together), time by phase; one file that needs no network"
EVENTS = ("`events.jsonl`: what went wrong without ending the run; `reward_failed` names the plugin, its reasons and how "
          "many samples each masked; `reward_log` is a line that a plugin logged")
OWN_STEPS = ("Without steps and schedule, a few-step generator is drawn from at its own, as its scheduler's config says, or the one beside its "
             "LoRA ([methods.md](methods.md#few-step-generators)); another model with 28. Others are taken with a warning.")
SIZES = ("Height, width and frames must suit the model. SD3: one frame; sides that are multiples of the VAE's factor "
         "times the patch size, up to what the position table holds. Wan: 4 k + 1 frames, sides of such multiples.")

# By kind: example jobs, rules that the schema cannot say, files written to the output folder.
NOTES = {
    "sample": {
        "examples": [{
            "version": 1, "job": "sample", "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1},
            "prompts": {"texts": ["a red circle left of a blue square"]}, "images_per_prompt": 4,
            "sampler": {"name": "flow_ode", "steps": 28, "guidance_scale": 2.0, "height": 64, "width": 64},
            "rewards": [{"plugin": "scene"}], "output": "runs/sample"}],
        "rules": [ONE_SOURCE, LORA_OF_A_FILE, SIZES, WINDOWS, OWN_STEPS,
                  "N pictures come prompt by prompt: `images_per_prompt` of the first, then of the second.",
                  "`/sampler/window/policy` `random` places the window by the seed; the others leave it at `begin`: there are no iterations.",
                  "Steering that scores noisy latents (`flow_nrg`, `euphonium`, `noisy_latents`) follows the rewards of `\"use\": "
                  "\"process\"`, other steering those of `guide`, either those of `train` where there are none. The combined reward "
                  "is of `train` alone. A `guide` or `process` that nothing follows is refused."],
        "writes": [SCORED_REPORT, "`samples/NNNNN.png` (videos: `NNNNN_frameMMMM.png`) and `grid.png` of the first 64",
                   "`latents.safetensors`, `frames.safetensors`, where asked for",
                   "`parts/`, until it is done: what was drawn so far, from which the same job goes on",
                   "`scores.jsonl`, where there are rewards: a line a picture with the combined `reward` and every "
                   "dimension; null where not scored",
                   "`events.jsonl` and `result.json`: `steps` and whose word they are (`steps_from`), means, how many were scored, `reward_failures`, time by phase",
                   "`steering` in `result.json`, where there is steering: `network_evaluations` (2 a step under guidance), those of them "
                   "with a gradient (`network_gradients`), `reward_calls`, `reward_gradients`, those of them that pulled nowhere "
                   "(`failed_gradients`; when it is all of them the run fails); and of methods with particles or "
                   "candidates, as means over groups, a number a step: `ess` (effective sample size), `survivors` (the share that had "
                   "offspring: the acceptance), `unscored` (left out by the reward); of particles at the end: `unique_ancestors` (how many of "
                   "the first have offspring), `log_evidence` (of log E e^{lambda r}: the log of the mean over groups), `weighted_reward` (the tilted law's mean reward)"],
    },
    "score": {
        "examples": [{
            "version": 1, "job": "score", "images": "runs/sample/samples",
            "prompts": {"path": "assets/prompts/scenes/eval.txt", "limit": 4},
            "rewards": [{"plugin": "scene", "dimensions": {"soft": 0.5, "strict": 0.5}}], "output": "runs/score"}],
        "rules": ["Either `/images` or `/frames` with `/prompts`, or `/manifest` ([prompts.md](prompts.md#pictures-to-score)).",
                  ONE_SOURCE,
                  "As many prompts as pictures, in the same order: PNG and JPEG files by the numbers in their names, `grid.png` left out.",
                  "All pictures of one job have the same size."],
        "writes": [SCORED_REPORT, "`scores.jsonl` (with each file's `file_name`), `events.jsonl` and `result.json`, as `sample` does",
                   "`parts/`, until it is done: what was scored so far, from which the same job goes on"],
    },
    "evaluate": {
        "examples": [{
            "version": 1, "job": "evaluate", "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1},
            "prompts": {"path": "assets/prompts/scenes/eval.txt"}, "size": {"height": 64, "width": 64},
            "guidance": [{"guidance_scale": 1.0}, {"guidance_scale": 2.0}],
            "rewards": [{"plugin": "scene"}], "output": "runs/evaluate"}],
        "rules": [ONE_SOURCE, LORA_OF_A_FILE, SIZES, OWN_STEPS,
                  "One picture a prompt. Prompt i starts from the same noise at every guidance scale, and from the "
                  "same as in the held-out evaluations of `align` with that seed."],
        "writes": ["`grid-I.png` for each guidance scale", SCORED_REPORT,
                   "`parts/`, until it is done: what was drawn so far, from which the same job goes on",
                   "`result.json`: `steps` and whose word they are (`steps_from`), means by guidance scale, `reward_failures`, time by phase", EVENTS],
    },
    "align": {
        "examples": [{
            "version": 1, "job": "align",
            "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1, "lora": {"rank": 16, "alpha": 32}},
            "prompts": {"train": "assets/prompts/scenes/train.txt", "select": "assets/prompts/scenes/select.txt",
                        "eval": "assets/prompts/scenes/eval.txt"},
            "sampler": {"name": "flow_sde", "steps": 10, "noise_level": 0.7, "window": {"begin": 0, "size": 4},
                        "height": 64, "width": 64},
            "rewards": [{"plugin": "color"}],
            "method": {"name": "flow_grpo", "prompts_per_iteration": 4, "group_size": 16, "clip_range": 1e-3},
            "optimizer": {"learning_rate": 1e-3}, "iterations": 20, "output": "runs/redness"}],
        "rules": ["At least one reward.", SIZES, WINDOWS,
                  "A method that makes a few-step generator (`tdm`, `dmd2`, ...) is evaluated at its `/sampler/steps`, and its reference is none. A model "
                  "that is one is trained at its own steps and levels, by methods that do not denoise clean latents, or with "
                  "`/method/force`.",
                  "`flow_grpo` needs a sampler that draws noise (`flow_sde`; `dance_sde` makes it DanceGRPO's, `cps` "
                  "Flow-CPS) with a noise level above 0. The last step of a schedule is never trained, so the window "
                  "must begin before it.",
                  "`flow_grpo` in float32 stops when, before its very first update, a log-probability of the rollout "
                  "and of its replay differ by more than 1e-5.",
                  "`diffusion_nft` takes any sampler, and `times_per_sample` of at most its steps.",
                  "`awm` takes any sampler; each sample is trained at `times_per_sample` noise levels of the schedule, from step "
                  "`first_step` to `last_share` of the steps.",
                  "`flow_rwr`, `sft` and `flow_dpo` take any sampler. `sft` on `pictures` and `flow_dpo` on `pairs` draw no samples in "
                  "training: `/prompts/train` is then a `.jsonl` file that names the pictures ([prompts.md](prompts.md)), "
                  "`group_size` is not there, and rewards only judge the held-out pictures.",
                  "`mah_dpo` takes any sampler, and needs `/model/lora` with ranks that are multiples of the number of rewards of weight "
                  "other than 0; a block of the ranks is the head of each.",
                  "`dgpo` and `crd` take any sampler, and `times_per_sample` of at most `last_share` of its steps.",
                  "`branch_grpo` and `tempflow_grpo` need a sampler that draws noise, too, and no shorter tail. `group_size` is the "
                  "number of pictures of a prompt: of `branch_grpo` a multiple of `split/children`, of `tempflow_grpo` of "
                  "`branches` times `start_noises`, with no more branched steps than the window trains.",
                  "The updates of an iteration share its micro-batches (samples / `/parallel/micro_batch`, rounded "
                  "up); with more updates than micro-batches some do nothing.",
                  "A sample that a reward did not score enters neither advantages nor loss. Its group needs two "
                  "scored samples.",
                  "`/model/lora/path`: rank and layers must cover the file's; its scale is kept.",
                  "Evaluations take the ODE with `/evaluate/steps`. The parameters with the best metric on "
                  "`/prompts/select` are kept; `/prompts/eval` is scored once before and once after, from the same "
                  "noise, and is what is reported.",
                  "What is exported is what is reported: `/export/dtype` rounds the weights before the final evaluation, and "
                  "`evaluate` on the exported LoRA or folder gives the same numbers to the last digit. A folder holds, by "
                  "name, what was read of the model's own; tensors that are never trained are the model's own, to the bit.",
                  "Before training it is checked that the weights can be written after it: files that can be read, names that "
                  "are free, and a disk with room for them and for the checkpoints. `/output` may not lie inside of the "
                  "model's folder, in no kind of job.",
                  "A reward with `\"use\": \"watch\"` (or weight 0) is scored at every rollout and evaluation and not trained: the alarm "
                  "`reward_hacking` watches it. Alarms are lines of `events.jsonl` with what was seen, the threshold "
                  "and advice, stand in `result.json` and head the report; each is raised once until it clears.",
                  "At least one reward is trained: of `use` `train`, with a weight that is not 0.",
                  "Step 0, before, baselines, KL terms and alarms are of the model as loaded, with the LoRA that training starts from; "
                  "`/reference` `base`: of the model without it (decision 0029).",
                  "Prompts of `/prompts/eval` or `/prompts/select` that the run has seen elsewhere are named at the start, in "
                  "`result.json` and in the report. A metric without a value at step 0 ends the run.",
                  "An output folder with a checkpoint is resumed when what decides its numbers is the same, and so is what prompts, model, "
                  "LoRA and plugins hold, wherever they lie; else the job is refused, naming what differs. Free are `/name`, `/output`, "
                  "`/monitors`, `/checkpoint`, `/parallel/workers`, `/model/prompt_cache`, `/evaluate/pictures`, `/evaluate/baselines`, "
                  "and with a constant learning rate `/iterations`, which extends a run (decision 0028).",
                  "`thalweg export RUN` writes the weights of a run that was stopped or goes on into `RUN/export-ITERATION`."],
        "writes": ["`pytorch_lora_weights.safetensors` with a LoRA, else the whole folder `model/`",
                   "`scheduler/scheduler_config.json` beside the LoRA of a few-step generator, and `generator` in `result.json`: how diffusers draws from it",
                   "`heads/REWARD/pytorch_lora_weights.safetensors` of `mah_dpo`: the head of each reward, `/` in its name as `_`",
                   "`metrics.jsonl` and TensorBoard events: one row an iteration and an evaluation", EVENTS,
                   "`samples/step-N/`, `samples/before/`, `samples/after/`: pictures of the first held-out prompts, with `metadata.jsonl` "
                   "(`file_name`, `prompt`, the metric): a dataset with captions as libraries load it, and a manifest of `score`",
                   "`checkpoint-N/`",
                   "`result.json`: before and after with 95 % intervals, baselines, `reward_failures`, time by phase",
                   "`report.html`: one file that needs no network. Its pictures have 8 Mpx together: above that all are made "
                   "smaller, to 64 pixels at the least, then the last ones left out; of a video it shows 8 frames. A page above 64 MB "
                   "loses its pictures, then settings, tables and curves. The page says which"],
        "shipped": "assets/jobs/demo.json",
    },
    "train_reward": {
        "examples": [],
        "rules": [LORA_OF_A_FILE, SIZES, WINDOWS, OWN_STEPS,
                  "`/model` draws with `/sampler`, `/rewards` say what came of it; the model is not trained.",
                  "`/learner/network` `backbone` runs the first `depth` blocks of the model as its folder has it, without LoRAs, in "
                  "`/model/dtype`; `own` takes any model of single pictures.",
                  "`/learner/loss/temperature` tau is that of the steering that will follow: its `temperature`, or 1/`lambda`.",
                  "The first rollout sets the units: the network's 0 is its mean outcome (of `soft_value` its soft value).",
                  "States come in pairs of one prompt and one noise level, so `batch_size` is even; `pool` holds one rollout at least.",
                  "A sample that no reward scored teaches nothing. An update whose gradient is not finite is skipped and counted.",
                  "Kept are the parameters with the best `group_rank_correlation` on `/prompts/select`, the mean over noise levels; "
                  "`/prompts/eval` is what is reported.",
                  "Resumed as `align` is; checkpoints hold the pool. Held-out samples are drawn anew."],
        "writes": ["`process_reward/`: `config.json` and `model.safetensors`, for the plugin `latent_prm`",
                   "`metrics.jsonl` and TensorBoard events: `loss`, `reward`, `pool` an iteration; an evaluation "
                   "`rank_correlation_SIGMA` over all samples and `group_rank_correlation_SIGMA` among those of a prompt", EVENTS,
                   "`checkpoint-N/`", "`result.json`: both by noise level (`held_out`), `reward_failures`, time by phase",
                   "`report.html`: curves and table"],
        "shipped": "assets/jobs/train_reward_tiny.json",
    },
    "pretrain": {
        "examples": [],
        "rules": ["`/architecture` holds an object for each of `transformer`, `vae`, `text_encoder`, `text_encoder_2` "
                  "and `scheduler`, with the keys of diffusers' `config.json`. Vocabularies, token limits and the "
                  "VAE's scale and shift are filled in.",
                  "The VAE is trained first, as a run of its own in `OUTPUT/vae`. Both stages resume from their last "
                  "checkpoint when every setting but `/checkpoint` is the same.",
                  "An update whose gradient is not finite is skipped, counted in `result.json` (`skipped_updates`) and an event; a stage "
                  "in which all were fails."],
        "writes": ["`model/`: the pipeline in the diffusers layout", "`checkpoint-N/`", "`vae/`: the autoencoder's own run",
                   "`metrics.jsonl`, `events.jsonl`, TensorBoard events", "`result.json`"],
        "shipped": "assets/jobs/pretrain_tiny_sd3.json",
    },
}


def number(value):
    """As a person writes it: 28, 0.7, 1e-6."""
    if value == 2**63 - 1:
        return "2^63 - 1"
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e7):
        return str(int(value))
    mantissa, _, exponent = f"{value:g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def shown(value):
    """A default."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"`{json.dumps(value)}`"
    return f"`{number(value)}`"


def value_of(schema):
    """What may stand there."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(name)}`" for name in schema["enum"])
    if "const" in schema:
        return shown(schema["const"])
    kind = schema["type"]
    if kind in ("number", "integer"):
        return f"{kind}, {number(schema['minimum'])} to {number(schema['maximum'])}"
    if kind == "array":
        return "list of sections" if schema["items"]["type"] == "object" else "list of texts"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        numbers = schema["additionalProperties"]
        return f"numbers by name, {number(numbers['minimum'])} to {number(numbers['maximum'])}"
    if kind == "object":
        return "section" if "properties" in schema or "oneOf" in schema else "object"
    return {"boolean": "`true` or `false`", "string": "text"}[kind]


def default_of(schema, required):
    if required:
        return "required"
    if "default" in schema:
        return shown(schema["default"])
    if schema.get("type") == "array":
        return "`[]`"
    if schema.get("type") == "object" and value_of(schema) != "section":
        return "`{}`"
    return "`\"\"`" if schema.get("type") == "string" else ""


def row(pointer, schema, required):
    meaning = schema.get("description", "").replace("|", "\\|")
    return f"| `{pointer}` | {value_of(schema)} | {default_of(schema, required)} | {meaning} |"


def table(rows):
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def tag_of(branches):
    """The key whose constant tells the branches apart."""
    return next(key for key, schema in branches[0]["properties"].items() if "const" in schema)


def required_in(schema, key):
    return key in schema.get("required", ())


class Section:
    """Rows of one object, its sections' among them, and a table for each alternative inside."""

    def __init__(self, shared=()):
        self.shared = shared
        self.rows = []
        self.alternatives = []

    def add(self, pointer, schema, required):
        self.rows.append(row(pointer, schema, required))
        if pointer in self.shared:
            self.rows[-1] = self.rows[-1][:-1] + f"([below](#{pointer[1:]})) |"
            return
        inner, below = schema, pointer
        if schema["type"] == "array":
            inner, below = schema["items"], pointer + "/N"
        if "oneOf" in inner:
            self.add_alternatives(below, inner["oneOf"])
        for key, value in inner.get("properties", {}).items():
            self.add(f"{below}/{key}", value, required_in(inner, key))

    def add_alternatives(self, pointer, branches):
        tag = tag_of(branches)
        first = branches[0]["properties"][tag]
        needed = all(required_in(branch, tag) for branch in branches)
        default = next((b["properties"][tag]["const"] for b in branches if not required_in(b, tag)), None)
        names = ", ".join(f"`{json.dumps(branch['properties'][tag]['const'])}`" for branch in branches)
        self.rows.append(f"| `{pointer}/{tag}` | {names} | {'required' if needed else shown(default)} | "
                         f"{first.get('description', '')} |")
        common = [key for key, schema in branches[0]["properties"].items()
                  if key != tag and all(branch["properties"].get(key) == schema for branch in branches)]
        for key in common:
            self.add(f"{pointer}/{key}", branches[0]["properties"][key], required_in(branches[0], key))
        for branch in branches:
            own = Section(self.shared)
            for key, schema in branch["properties"].items():
                if key != tag and key not in common:
                    own.add(f"{pointer}/{key}", schema, required_in(branch, key))
            self.alternatives.append((pointer, tag, branch, own))

    def text(self):
        parts = [table(self.rows)] if self.rows else []
        for pointer, tag, branch, own in self.alternatives:
            parts.append(f"`{pointer}/{tag}` = `{branch['properties'][tag]['const']}`: {branch['description']}."
                         + (" Its keys:" if own.rows else " No keys of its own.") + "\n")
            parts.append(own.text())
        return "\n".join(part for part in parts if part)


def bare(schema):
    """Without what the parent says of it."""
    return json.dumps({key: value for key, value in schema.items() if key != "description"}, sort_keys=True)


def shared_sections(kinds):
    """Sections that more than one kind has, by key: the same keys with the same meanings."""
    seen = {}
    for kind in kinds.values():
        for key, schema in kind["properties"].items():
            inner = schema.get("items", schema)
            if "properties" in inner or "oneOf" in inner:
                seen.setdefault((key, bare(schema)), []).append(schema)
    return {key: schemas[0] for (key, _), schemas in seen.items() if len(schemas) > 1}


def bullets(title, lines):
    return f"{title}\n\n" + "".join(f"- {line}\n" for line in lines)


def example_text(job):
    """One key a line, as the shipped jobs are written."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in job.items())
    return "```json\n{\n" + ",\n".join(lines) + "\n}\n```\n"


def kind_text(name, schema, common, shared):
    notes = NOTES[name]
    pointers = {f"/{key}" for key in shared if bare(schema["properties"].get(key, {})) == bare(shared[key])}
    section = Section(pointers)
    for key, value in schema["properties"].items():
        if key not in common:
            section.add(f"/{key}", value, required_in(schema, key))
    parts = [f"## {name}\n", schema["description"][0].upper() + schema["description"][1:] + ".\n"]
    if "shipped" in notes:
        parts.append(f"A whole one: [`{notes['shipped']}`](../{notes['shipped']}).\n")
    parts += [example_text(job) for job in notes["examples"]]
    parts += [section.text(), bullets("Rules beside the table:", notes["rules"]),
              bullets("It writes, beside `job.json`:", notes["writes"])]
    return "\n".join(parts)


def render(schema):
    """docs/jobs.md as text."""
    schema = expanded(schema)
    kinds = {branch["properties"]["job"]["const"]: branch for branch in schema["oneOf"]}
    if set(kinds) != set(NOTES):
        raise SystemExit(f"make_job_reference: NOTES are for {sorted(NOTES)}, the program knows {sorted(kinds)}")
    first = next(iter(kinds.values()))
    common = [key for key, value in first["properties"].items()
              if all(kind["properties"].get(key) == value for kind in kinds.values())]
    shared = shared_sections(kinds)
    names = ", ".join(f"[`{json.dumps(name)}`](#{name})" for name in kinds)
    rows = [row(f"/{key}", first["properties"][key], required_in(first, key)) for key in sorted(common, reverse=True)]
    rows.insert(1, f"| `/job` | {names} | required | {first['properties']['job']['description']} |")
    parts = [INTRODUCTION, "## Every job\n", table(rows)]
    parts += [kind_text(name, kind, {*common, "job"}, shared) for name, kind in kinds.items()]
    parts.append("# Shared sections\n")
    for key, value in shared.items():
        section = Section()
        section.add(f"/{key}", {**value, "description": ""}, False)
        section.rows.pop(0)  # the section itself: the kinds' own tables say what it is for
        users = ", ".join(f"`{name}`" for name, kind in kinds.items()
                          if bare(kind["properties"].get(key, {})) == bare(value))
        parts += [f"## {key}\n", f"In {users}.\n", section.text()]
    return "\n".join(parts)


def program():
    return ROOT / os.environ.get("THALWEG_PROGRAM", "build/release/thalweg")


def printed_schema():
    """What `thalweg schema` prints."""
    return subprocess.run([program(), "schema"], check=True, capture_output=True, text=True, timeout=60).stdout


if __name__ == "__main__":
    text = printed_schema()
    SCHEMA.parent.mkdir(parents=True, exist_ok=True)
    SCHEMA.write_text(text, encoding="utf-8")
    REFERENCE.write_text(render(json.loads(text)), encoding="utf-8")
