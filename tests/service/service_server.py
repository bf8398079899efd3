"""`thalweg serve` for a test: a store, a root with the embedded model, a free port; and the shortest jobs."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = os.environ.get("THALWEG_PROGRAM", str(ROOT / "build/release/thalweg"))
PATIENCE = 120
KEY, ADMIN = "k" * 32, "a" * 32  # of the fixture `guarded`


class Server:
    """`thalweg serve`, and what is asked of it."""

    def __init__(self, folder, *options, environment=None):
        self.folder, self.options, self.environment = folder, options, environment or {}
        self.process, self.url, self.key = None, None, None

    def start(self, ready=True):
        command = [PROGRAM, "serve", "--port", "0", "--store", str(self.folder / "store"), "--root", str(self.folder / "root")]
        self.log = open(self.folder / "serve.log", "ab")
        self.process = subprocess.Popen([*command, *self.options], stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**os.environ, **self.environment})
        line = self.process.stdout.readline()
        assert "http://" in line, (self.folder / "serve.log").read_text()
        self.url = line.split(": ", 1)[1].strip().rstrip("/")
        if ready:
            self.wait(lambda: self.get("/ready", expect=None)[0] == 200)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def request(self, method, path, body=None, headers=None, expect=200, raw=False):
        """Status and JSON; `expect` None: any status."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        all_headers = {**({"Content-Type": "application/json"} if data is not None else {}), **(headers or {})}
        if self.key and "Authorization" not in all_headers:
            all_headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=all_headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        value = content if raw else json.loads(content) if content else None
        assert expect is None or status in (expect if isinstance(expect, tuple) else (expect,)), (status, value)
        return status, value

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def submit(self, job, **options):
        return self.post("/v1/jobs", job, expect=201, **options)[1]

    def job(self, identity):
        return self.get(f"/v1/jobs/{identity}")[1]

    def wait(self, condition, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if found := condition():
                    return found
            time.sleep(0.05)
        raise AssertionError("did not come in time; " + (self.folder / "serve.log").read_text())

    def until(self, identity, *states):
        """The job, once it is in one of the states."""
        return self.wait(lambda: (job := self.job(identity))["status"] in states and job)

    def events(self, identity):
        """All of a job, oldest first."""
        rows, after = [], ""
        while True:
            page = self.get(f"/v1/jobs/{identity}/events?limit=100{after}")[1]
            rows += page["data"]
            if not page["has_more"]:
                return rows[::-1]
            after = "&after=" + page["last_id"]


def make_root(folder):
    """What jobs of the tests name: the embedded model, a few prompts, presets."""
    root = folder / "root"
    (root / "assets/models").mkdir(parents=True)
    shutil.copytree(ROOT / "assets/models/tiny-sd3", root / "assets/models/tiny-sd3")
    shutil.copytree(ROOT / "assets/presets", root / "assets/presets")
    shutil.copytree(ROOT / "assets/prompts/scenes", root / "assets/prompts/scenes")
    for split in ("train", "select", "eval"):
        lines = (ROOT / f"assets/prompts/scenes/{split}.txt").read_text().splitlines()[:8]
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def sample_job(**changes):
    """The shortest job: a picture in two steps."""
    return {"version": 1, "job": "sample",
            "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1},
            "prompts": {"texts": ["a red circle"]},
            "sampler": {"name": "flow_ode", "steps": 2, "height": 64, "width": 64},
            "parallel": {"workers": 1}, "seed": 0, **changes}


def align_job(iterations=6, **changes):
    """A short alignment with an evaluation and a checkpoint every second iteration."""
    return {"version": 1, "job": "align",
            "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1},
            "prompts": {"train": "train.txt", "select": "select.txt", "eval": "eval.txt"},
            "sampler": {"name": "flow_ode", "steps": 4, "guidance_scale": 1.0, "height": 64, "width": 64},
            "rewards": [{"plugin": "scene", "dimensions": {"soft": 0.5, "strict": 0.5}}],
            "method": {"name": "awm", "prompts_per_iteration": 2, "group_size": 4},
            "optimizer": {"name": "adamw", "learning_rate": 1e-4}, "iterations": iterations,
            "evaluate": {"every": 2, "steps": 2, "metric": "scene/strict", "pictures": 4},
            "checkpoint": {"every": 1, "keep": 2}, "parallel": {"workers": 1, "micro_batch": 4}, "seed": 0, **changes}
