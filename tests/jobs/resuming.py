"""A short `align` job that is stopped, killed and resumed, and all that it leaves, to be compared."""

import hashlib
import json
import re
import signal
import subprocess
import time

from program import ENVIRONMENT, PROGRAM, ROOT, write_job

METHODS = {
    "flow_grpo": {"method": {"name": "flow_grpo", "prompts_per_iteration": 2, "group_size": 4, "updates": 2,
                             "kl_beta": 0.01},
                  "sampler": {"name": "flow_sde", "window": {"begin": 0, "size": 2, "policy": "random"}}},
    "diffusion_nft": {"method": {"name": "diffusion_nft", "prompts_per_iteration": 2, "group_size": 4,
                                 "times_per_sample": 2, "old_policy": {"rate": 0.2}},
                      "sampler": {"name": "flow_ode", "guidance_scale": 1.5}},
    "awm": {"method": {"name": "awm", "prompts_per_iteration": 2, "group_size": 4, "times_per_sample": 2,
                       "ema": {"rate": 0.2}},
            "sampler": {"name": "flow_ode"}},
    "dgpo": {"method": {"name": "dgpo", "prompts_per_iteration": 2, "group_size": 4, "updates": 2, "times_per_sample": 2,
                        "clip_range": 0.1, "average": {"rate": 0.2, "maximum": 0.9}, "average_rollouts_after": 4},
             "sampler": {"name": "flow_ode"}},
    "crd": {"method": {"name": "crd", "prompts_per_iteration": 2, "group_size": 4, "times_per_sample": 2,
                       "kl_guidance": 1.5, "rollout_policy": {"name": "ramp", "rate": 0.2}},
            "sampler": {"name": "flow_ode"}},
    "flow_rwr": {"method": {"name": "flow_rwr", "prompts_per_iteration": 2, "group_size": 4, "updates": 2, "times_per_sample": 2,
                            "kl_beta": 0.01},
                 "sampler": {"name": "flow_ode"}},
    "sft": {"method": {"name": "sft", "prompts_per_iteration": 4, "group_size": 2, "updates": 2, "times_per_sample": 2},
            "sampler": {"name": "flow_ode"}},
    "flow_dpo": {"method": {"name": "flow_dpo", "prompts_per_iteration": 4, "group_size": 2, "updates": 2, "times_per_sample": 2,
                            "refresh": 2},
                 "sampler": {"name": "flow_ode"}},
    "mah_dpo": {"method": {"name": "mah_dpo", "prompts_per_iteration": 4, "group_size": 4, "updates": 2, "times_per_sample": 2},
                "sampler": {"name": "flow_ode"}, "rewards": [{"plugin": "color"}, {"plugin": "jpeg", "weight": 2.0}]},
    "flow_grpo_fast": {"method": {"name": "flow_grpo_fast", "prompts_per_iteration": 2, "group_size": 4, "updates": 2},
                       "sampler": {"name": "cps", "window": {"begin": 0, "size": 2, "policy": "random"}}},
    "dance_grpo": {"method": {"name": "dance_grpo", "prompts_per_iteration": 2, "group_size": 4, "updates": 2, "keep": 2},
                   "sampler": {"name": "dance_sde"}},
    "mix_grpo": {"method": {"name": "mix_grpo", "prompts_per_iteration": 2, "group_size": 4, "updates": 2},
                 "sampler": {"name": "flow_sde", "window": {"begin": 0, "size": 2, "policy": "progressive", "iterations": 2}}},
    "grpo_guard": {"method": {"name": "grpo_guard", "prompts_per_iteration": 2, "group_size": 4, "updates": 2, "kl_beta": 0.01,
                              "kl_target": {"kl": 0.01, "rate": 0.5}},
                   "sampler": {"name": "flow_sde"}},
    "flow_dppo": {"method": {"name": "flow_dppo", "prompts_per_iteration": 2, "group_size": 4, "updates": 2},
                  "sampler": {"name": "flow_sde"}},
    "branch_grpo": {"method": {"name": "branch_grpo", "prompts_per_iteration": 2, "group_size": 4,
                               "split": {"first": 0, "every": 1}},
                    "sampler": {"name": "flow_sde"}},
    "tdm": {"method": {"name": "tdm", "prompts_per_iteration": 4, "updates": 2, "guidance_scale": 1.5,
                       "regression": {"iterations": 2, "parts": 2, "passes": 1},
                       "critic": {"alone": 1, "optimizer": {"learning_rate": 0.01}}},
            "sampler": {"name": "flow_ode", "schedule": {"name": "shifted", "shift": 1.0}}, "evaluate": {"steps": 4}},
    "tdm_r1": {"method": {"name": "tdm_r1", "prompts_per_iteration": 2, "group_size": 4, "updates": 2, "guidance_scale": 1.5,
                          "states": 2, "critic": {"alone": 1, "states": 1, "optimizer": {"learning_rate": 0.01}},
                          "surrogate": {"updates": 2, "optimizer": {"learning_rate": 0.01}}},
               "sampler": {"name": "flow_ode", "schedule": {"name": "shifted", "shift": 1.0}}, "evaluate": {"steps": 4}},
    "dmd2": {"method": {"name": "dmd2", "prompts_per_iteration": 4, "updates": 2, "guidance_scale": 1.5,
                        "regression": {"iterations": 2, "parts": 2, "passes": 1},
                        "critic": {"updates": 2, "alone": 1, "optimizer": {"learning_rate": 0.01}},
                        "discriminator": {"parts": 2, "width": 8, "optimizer": {"learning_rate": 0.01}}},
             "sampler": {"name": "flow_ode", "schedule": {"name": "shifted", "shift": 1.0}}, "evaluate": {"steps": 4}},
    "reward_forcing": {"method": {"name": "reward_forcing", "prompts_per_iteration": 2, "group_size": 4, "updates": 2,
                                  "guidance_scale": 1.5, "states": 2,
                                  "critic": {"updates": 2, "alone": 0, "optimizer": {"learning_rate": 0.01}}},
                       "sampler": {"name": "flow_ode", "schedule": {"name": "shifted", "shift": 1.0}},
                       "evaluate": {"steps": 4}},
    "guidance_distill": {"method": {"name": "guidance_distill", "prompts_per_iteration": 4, "updates": 2, "passes": 2,
                                    "times_per_sample": 2, "guidance": {"scale": 2.0}},
                         "sampler": {"name": "flow_ode"}},
    "euphonium": {"method": {"name": "euphonium", "prompts_per_iteration": 2, "group_size": 4, "updates": 2,
                             "guidance": {"gradient": "clean_estimate", "guidance_scale": 2.0, "window": {"begin": 1}}},
                  "sampler": {"name": "flow_sde"}},
    "guidance_to_policy": {"method": {"name": "guidance_to_policy", "prompts_per_iteration": 4, "updates": 2, "passes": 2,
                                      "steering": [{"name": "dps", "lambda": 3.0}]},
                           "sampler": {"name": "flow_ode"}},
    "refl": {"method": {"name": "refl", "prompts_per_iteration": 8, "updates": 2},
             "sampler": {"name": "flow_ode", "guidance_scale": 1.5, "schedule": {"name": "linear"}}},
    "draft": {"method": {"name": "draft", "prompts_per_iteration": 8, "updates": 2, "steps_back": 3,
                         "truncation": {"name": "uniform"}},
              "sampler": {"name": "flow_sde", "schedule": {"name": "linear"}}},
    "adjoint_matching": {"method": {"name": "adjoint_matching", "prompts_per_iteration": 8, "updates": 2, "lambda": 20.0,
                                    "times_per_sample": 2, "loss_quantile": 0.9},
                         "sampler": {"name": "memoryless", "schedule": {"name": "linear"}}},
    "tempflow_grpo": {"method": {"name": "tempflow_grpo", "prompts_per_iteration": 2, "group_size": 4, "branches": 2},
                      "sampler": {"name": "flow_sde"}},
}


def make_files(folder):
    """The model and prompts of these jobs, in `folder`."""
    import tiny_sd3  # slow: it imports diffusers

    tiny_sd3.make_folder(folder / "model", seed=80)
    (folder / "prompts.txt").write_text("a red circle\ntwo blue squares\na big green triangle\n")
    (folder / "many.txt").write_text("a red circle\ntwo blue squares\na big green triangle\n" * 150)
    return folder


def short_job(files, method_name, **sections):
    """The job; keys of `sections` are merged into its sections, or replace what is no object."""
    prompts, parts = str(files / "prompts.txt"), METHODS[method_name]
    job = {"job": "align", "model": {"path": str(files / "model"), "max_sequence_length": 1,
                                     "lora": {"rank": 4, "alpha": 8}},
           "prompts": {"train": prompts, "select": prompts, "eval": prompts},
           "sampler": {"steps": 4, "height": 16, "width": 16, **parts["sampler"]},
           "rewards": parts.get("rewards", [{"plugin": "color"}]), "method": parts["method"],
           "optimizer": {"learning_rate": 0.01, "warmup_iterations": 2}, "ema_decay": 0.9, "iterations": 6,
           "evaluate": {"every": 2, "steps": 3, "pictures": 2, **parts.get("evaluate", {})}, "checkpoint": {"every": 1, "keep": 2},
           "parallel": {"workers": 1, "lanes": 2, "micro_batch": 4}, "seed": 11}
    for key, value in sections.items():
        job[key] = {**job.get(key, {}), **value} if isinstance(value, dict) else value
    return job


def start(folder, job, wrapper=(), **environment):
    """The running program; its job file lies beside `folder`, which is to be named "run" for reports to be equal."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = write_job(folder.parent / "job.json", {**job, "output": str(folder)})
    return subprocess.Popen([*wrapper, PROGRAM, "run", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            cwd=ROOT, env={**ENVIRONMENT, **environment})


def finish(folder, job, wrapper=(), timeout=300):
    """Runs or resumes to the end; what the program said."""
    process = start(folder, job, wrapper)
    said, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, said
    return said


def wait_for(process, ready, timeout=120):
    deadline = time.monotonic() + timeout
    while not ready():
        assert process.poll() is None, "the run ended before: " + process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.001)


def temporaries(folder):
    return [path for path in folder.glob(".checkpoint-*.tmp")] if folder.is_dir() else []


def kill_after(process, folder, seconds):
    """SIGKILL that long after the start. Whether the process still ran, and whether a save was under way."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    return kill(process, folder)


def kill_in_save(process, folder, number, delay):
    """SIGKILL `delay` seconds after the number-th save (from 1) began."""
    seen, before = 0, None
    while process.poll() is None:
        now = next((path.name for path in temporaries(folder)), None)
        if now is not None and now != before:
            seen += 1
            if seen == number:
                time.sleep(delay)
                break
        before = now
        time.sleep(0.0002)
    return kill(process, folder)


def kill(process, folder):
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return alive and process.returncode == -signal.SIGKILL, bool(temporaries(folder))


def untimed(value):
    """Without what is named time_* and memory_*, which alone may differ between a run and its repetition."""
    if isinstance(value, dict):
        return {key: untimed(item) for key, item in value.items() if not key.startswith(("time_", "memory_"))}
    return [untimed(item) for item in value] if isinstance(value, list) else value


def rows(path):
    return [untimed(json.loads(line)) for line in path.read_text().splitlines()]


def report_data(folder):
    """What report.html shows, from its block for programs; the folder is where it is, not what it holds."""
    text = re.search(r'id="report-data">(.*?)</script>', (folder / "report.html").read_text(), re.DOTALL).group(1)
    data = untimed(json.loads(text))
    del data["job"]["output"]
    return data


def results(folder):
    """All that a finished run leaves, but for times."""
    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    weights = [folder / "pytorch_lora_weights.safetensors", *folder.glob("model/**/*.*")]
    return {"weights": {str(path.relative_to(folder)): digest(path) for path in sorted(weights) if path.is_file()},
            "metrics": rows(folder / "metrics.jsonl"), "events": rows(folder / "events.jsonl"),
            "result": untimed(json.loads((folder / "result.json").read_text())), "report": report_data(folder),
            "samples": {str(path.relative_to(folder)): digest(path) for path in sorted(folder.glob("samples/*/*"))},
            "checkpoints": {str(path.relative_to(folder)): digest(path)
                            for path in sorted(folder.glob("checkpoint-*/*.safetensors"))},
            "left over": [str(path.relative_to(folder)) for path in folder.rglob("*.tmp")]}


def differences(one, other):
    """Names of the parts of results() that differ."""
    return [key for key in one if one[key] != other[key]]


def checkpoint_steps(folder):
    return sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))


def scalars(folder):
    """What TensorBoard shows of a run, however many files it has."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # slow

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def assert_same(folder, whole):
    """Two finished runs left the same."""
    assert differences(results(whole), results(folder)) == []
    assert scalars(folder) == scalars(whole)
