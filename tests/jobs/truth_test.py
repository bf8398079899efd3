"""However a run fails, result.json says the truth and the exit code agrees: failures of every sort, in every kind of job."""

import errno
import json
import os
import pathlib
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from parity_tool import BUILD
from program import ENVIRONMENT, PROGRAM, ROOT, write_job
from safetensors.numpy import save_file

DIES = BUILD / "tests/plugins/dies.so"
EVER = 10**9
STALE = {"status": "succeeded", "of": "an earlier run"}


def jobs_in(folder):
    """A short job of each kind whose reward, if it has one, dies where the environment says."""
    rng = np.random.default_rng(0)
    save_file({"frames": rng.random((6, 1, 3, 8, 8), dtype=np.float32)}, folder / "frames.safetensors")
    prompts = folder / "prompts.txt"
    prompts.write_text("".join(f"sample {i}\n" for i in range(4)))
    rewards = [{"plugin": str(DIES), "isolation": "inproc"}]
    line = {"model": {"path": "assets/laboratory/line"}, "rewards": rewards}
    one = {"height": 1, "width": 1}
    align = json.loads((ROOT / "assets/jobs/laboratory_align.json").read_text())
    pretrain = json.loads((ROOT / "assets/jobs/pretrain_tiny_sd3.json").read_text())
    pretrain["architecture"]["transformer"].update(num_layers=1, sample_size=4)
    pretrain["architecture"]["vae"]["sample_size"] = 16
    pretrain["data"].update(images=16, size=16)
    pretrain["vae"].update(steps=2, batch_size=2)
    pretrain["flow"].update(steps=4, batch_size=2, warmup_steps=1)
    return {
        "score": {"job": "score", "frames": str(folder / "frames.safetensors"), "prompts": {"texts": list("abcdef")},
                  "rewards": rewards, "batch_size": 3},
        "sample": {"job": "sample", **line, "prompts": {"texts": ["a", "b"]}, "images_per_prompt": 4,
                   "sampler": {"steps": 4, **one}, "save_latents": True, "checkpoint": {"every_seconds": 0},
                   "parallel": {"micro_batch": 2}},
        "evaluate": {"job": "evaluate", **line, "prompts": {"path": str(prompts)}, "size": one, "steps": 4,
                     "parallel": {"micro_batch": 2}},
        "align": {**align, "rewards": rewards, "prompts": {part: str(prompts) for part in ("train", "select", "eval")},
                  "iterations": 2, "evaluate": {"every": 1, "steps": 2, "pictures": 2},
                  "checkpoint": {"every": 1, "keep": 2}},
        "pretrain": {**pretrain, "checkpoint": {"every": 2, "keep": 2}},
    }


def worker_of(process):
    """The process that works; its parent only watches."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(children.read_text().split()[0])


def deaths():
    """Where a plugin dies, and how."""
    ways = ("_exit", "exit", "abort", "segv", "kill", "throw", "memory", "stack", "thread", "exec")
    places = {"loading": 1, "init": 1, "create": 1, "activate": 1, "score": 2, "deactivate": 1, "destroy": 1, "deinit": 1}
    for place, nth in places.items():
        for how in ways:
            if (place, how) != ("loading", "exec"):  # the program that it runs would load it again, for ever
                yield "score", f"{place}:{nth}:{how}"
    for kind in ("sample", "evaluate", "align"):
        for moment in ("activate:1", "score:1", "score:2", "deactivate:1"):
            for how in ("_exit", "exit", "segv", "throw"):
                yield kind, f"{moment}:{how}"


def disk_faults(kind, folder, draw):
    """CALLS:NTH:COUNT:ERRNO:PATH of tests/io/faults.h; the last two last for ever."""
    for nth in (1, 2, 3, draw.randint(4, 6)):
        yield f"write:{nth}:1:{errno.ENOSPC}:{folder}"
    for calls, code in (("fsync", errno.EIO), ("rename", errno.EACCES), ("open", errno.EMFILE), ("close", errno.EDQUOT)):
        yield f"{calls}:{draw.randint(1, 4)}:1:{code}:{folder}"
    yield f"write:{draw.randint(2, 4)}:{EVER}:{errno.ENOSPC}:{folder}"
    yield f"open:{draw.randint(2, 4)}:{EVER}:{errno.EACCES}:{folder}"


def injections(jobs, draw):
    """(name, kind, environment, signals) of every failure."""
    for kind, dies in deaths():
        yield dies, kind, {"THALWEG_DIES": dies}, ()
    shim, memory = (next(BUILD.glob(f"tests/**/lib{name}.so")) for name in ("faults", "memory_faults"))
    for kind in jobs:
        for fault in disk_faults(kind, "{folder}", draw):
            yield fault, kind, {"LD_PRELOAD": str(shim), "THALWEG_FAULTS": fault}, ()
        for bytes_, nth, count in ((4096, 60, EVER), (4096, 300, EVER), (512, 2000, 1), (512, 4000, EVER)):
            fault = f"{bytes_}:{nth}:{count}"
            yield f"memory {fault}", kind, {"LD_PRELOAD": str(memory), "THALWEG_MEMORY_FAULTS": fault}, ()
        for signals in ("INT",), ("TERM",), ("HUP",), ("INT", "TERM"), ("worker KILL",), ("worker SEGV",), ("worker TERM",):
            yield " ".join(signals), kind, {}, signals


class Runner:
    def __init__(self, folder):
        self.folder, self.jobs = folder, jobs_in(folder)

    def run(self, number, name, kind, environment, signals):
        """"" or how the run lied; and whether the failure came in time."""
        folder = self.folder / f"{number:03d}" / "run"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(STALE))
        path = write_job(folder.parent / "job.json", {**self.jobs[kind], "output": str(folder)})
        environment = {key: value.replace("{folder}", str(folder)) for key, value in environment.items()}
        with open(folder.parent / "said", "w+") as said:
            process = subprocess.Popen([PROGRAM, "run", path], stdout=said, stderr=subprocess.STDOUT, cwd=ROOT,
                                       env={**ENVIRONMENT, **environment})
            hit = self.send(process, folder, signals)
            code = process.wait(timeout=120)
            said.seek(0)
            text = said.read()
        hit = hit if signals else "[fault]" in text or "THALWEG_DIES" in environment
        unwritable = str(EVER) in name and "THALWEG_FAULTS" in environment
        lie = self.lie(code, folder, text, unwritable)
        return (f"{kind}, {name}: {lie}\n{text[-600:]}" if lie else ""), hit

    @staticmethod
    def send(process, folder, signals):
        deadline = time.monotonic() + 60
        while signals and process.poll() is None and not (folder / "job.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        for name in signals:
            try:
                pid = worker_of(process) if name.startswith("worker") else process.pid
            except (OSError, IndexError):
                return False  # it is done
            os.kill(pid, getattr(signal, "SIG" + name.split()[-1]))
        return True

    @staticmethod
    def lie(code, folder, said, unwritable):
        try:
            result = json.loads((folder / "result.json").read_text())
        except FileNotFoundError:
            result = None
        if result == STALE:  # refused before it began
            begun = (folder / "job.json").exists()
            return f"the old result stayed, exit code {code}" if begun or code not in (1, 2) else ""
        if result is None:
            if not unwritable:
                return f"no result, exit code {code}"
            return "" if code == 1 else f"no result on a full disk, exit code {code}"
        status, expected = result["status"], {0: "succeeded", 1: "failed", 2: "failed"}.get(code, "stopped")
        if code < 0 or status != expected:
            return f"{status}, exit code {code}"
        if status == "failed" and (not result["error"]["message"] or "thalweg: " not in said):
            return "failed without a reason"
        return ""


def test_whatever_fails_the_result_and_the_exit_code_say_so(tmp_path):
    runner, draw = Runner(tmp_path), random.Random(3)
    plan = list(injections(runner.jobs, draw))
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda item: runner.run(item[0], *item[1]), enumerate(plan)))
    lies = [lie for lie, _ in ends if lie]
    assert not lies, f"{len(lies)} of {len(plan)}:\n" + "\n".join(lies)
    assert sum(hit for _, hit in ends) >= 200


def test_the_plugin_and_its_call_are_named(tmp_path):
    """In one line, whatever killed the program; and in result.json."""
    runner = Runner(tmp_path)
    for number, (how, words) in enumerate({"_exit": "ended in the middle of its work (exit code 0)", "segv": "died of SIGSEGV",
                                           "kill": "died of SIGKILL"}.items()):
        assert runner.run(number, how, "score", {"THALWEG_DIES": f"score:2:{how}"}, ()) == ("", True)
        (line,) = (tmp_path / f"{number:03d}" / "said").read_text().splitlines()[-1:]
        assert line.startswith("thalweg: the program ") and words in line and 'while the reward "dies" was in score' in line
        result = json.loads((tmp_path / f"{number:03d}" / "run" / "result.json").read_text())
        assert result["error"]["message"] in line
