"""Rewards behind a URL, through the program: good servers and bad ones, caps, keys, the cache, and a run that is killed."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
import tiny_sd3
import torch
from parity_tool import BUILD, ROOT
from program import ENVIRONMENT, PROGRAM, run_job, thalweg, write_job
from remote_server import Server, score_of
from resuming import finish, rows, start
from safetensors.torch import save_file
from zoo_test import result, score_job

COUNT = 7
KEY = "sk-test-1234567890abcdef"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    tiny_sd3.make_folder(folder / "model", seed=81)
    torch.manual_seed(0)
    save_file({"frames": torch.rand(COUNT, 1, 3, 8, 8)}, folder / "frames.safetensors")
    (folder / "template.txt").write_text('Is this "{prompt}"? {image:0} {{prompt}} yes or no')
    return folder


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


def expected():
    torch.manual_seed(0)
    return [score_of(frame.numpy().tobytes()) for frame in torch.rand(COUNT, 1, 3, 8, 8)]


def entry(server, mode, **config):
    return {"plugin": "remote", "config": {"url": server.url(mode), "allow_hosts": ["127.0.0.1"], "format": "raw",
                                           "timeouts": {"request_s": 2, "batch_s": 20}, **config}}


def chat(server, files, mode="chat", **config):
    config = {"protocol": "chat", "model": "judge", "template": str(files / "template.txt"), **config}
    return {"plugin": "remote", "config": {"url": server.url(mode), "allow_hosts": ["127.0.0.1"], **config}}


def score(files, tmp_path, reward, name="run", **changes):
    """The rewards (None where there is none), and the folder."""
    folder = run_job(tmp_path / name, score_job(files, reward, output=str(tmp_path / name), **changes))
    return [json.loads(line)["reward"] for line in (folder / "scores.jsonl").read_text().splitlines()], folder


def reasons(folder):
    return " ".join(entry["reason"] for entry in result(folder)["reward_failures"])


def said(folder):
    return (folder / "events.jsonl").read_text()


def test_a_good_server_is_believed(files, tmp_path, server):
    values, folder = score(files, tmp_path, entry(server, "good"))
    assert values == pytest.approx(expected(), rel=1e-7)
    assert result(folder)["reward_failures"] == []
    assert server.state("good").requests == 2  # of 4 at most


@pytest.mark.parametrize("mode, why", [
    ("more", "one row of"), ("nan", "no JSON"), ("huge", "no JSON"), ("text", "no number"), ("big", "longer than 8 MiB"),
    ("drop", ""), ("redirect", "not followed")])
def test_what_is_no_score_is_masked(files, tmp_path, server, mode, why):
    """Every sample of the call: none becomes a number."""
    listener = socket.create_server(("127.0.0.1", 0))
    server.elsewhere = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/reward/score"
    with_good = [{**entry(server, mode, retries=1), "use": "watch"}, entry(server, "good")]
    folder = run_job(tmp_path / "run", score_job(files, None, rewards=with_good, output=str(tmp_path / "run")))
    lines = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    watched = [next(value for name, value in line.items() if name.startswith("remote/")) for line in lines]
    assert watched == [None] * COUNT
    assert [line["reward"] for line in lines] == pytest.approx(expected(), rel=1e-7)
    assert why in reasons(folder)
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()


def test_null_is_not_scored_and_the_others_are(files, tmp_path, server):
    values, folder = score(files, tmp_path, entry(server, "null"))
    assert [value is None for value in values] == [True, False, False, False, True, False, False]
    assert [(row["reason"].endswith("the server says that it has no score for it"), row["samples"]) for row in result(folder)["reward_failures"]] == [(True, 2)]


def test_a_server_that_never_ends_its_answer(files, tmp_path, server):
    done = thalweg("run", write_job(tmp_path / "job.json", score_job(
        files, entry(server, "loris", timeouts={"request_s": 0.5, "batch_s": 10}), output=str(tmp_path / "run"))))
    assert "within 1 s" in done.stderr + reasons(tmp_path / "run")
    assert server.state("loris").requests == 2  # not asked again


@pytest.mark.parametrize("mode, requests", [("flaky", 5), ("onebusy", COUNT + 1), ("onebusydate", COUNT + 1)])
def test_what_may_pass_is_asked_again(files, tmp_path, server, mode, requests):
    values, folder = score(files, tmp_path, entry(server, mode, concurrency=1))
    assert values == pytest.approx(expected(), rel=1e-7)
    assert server.state(mode).requests == requests


def test_chat_and_flow_factory(files, tmp_path, server):
    values, _ = score(files, tmp_path, chat(server, files), "chat")
    assert all(0 < value < 1 for value in values) and len(set(values)) > 1
    assert sorted(server.state("chat").prompts)[:2] == [" {prompt} yes or no", " {prompt} yes or no"]
    fields = [{"name": "a", "low": 0, "high": 10}, {"name": "b", "low": 0, "high": 10}]
    parse = {"name": "json", "fields": fields, "sum": {"value": 10, "tolerance": 0.5}}
    values, folder = score(files, tmp_path, chat(server, files, "schema", parse=parse, max_completion_tokens=50), "schema")
    assert all(0 < value < 10 for value in values) and "remote/b" in (folder / "scores.jsonl").read_text()
    reward = entry(server, "flow", protocol="flow_factory")
    del reward["config"]["format"]
    values, _ = score(files, tmp_path, reward, "flow")
    assert all(0 <= value < 1 for value in values) and len(set(values)) == COUNT


@pytest.mark.parametrize("prompt", ["{image:0}", 'a "quoted" \\ {prompt}', "x" * 100000])
def test_prompts_are_text_and_nothing_else(files, tmp_path, server, prompt):
    job_prompts = {"prompts": {"texts": [prompt] * COUNT}}
    values, _ = score(files, tmp_path, chat(server, files), **job_prompts)
    assert None not in values
    assert set(server.state("chat").prompts) == {f'Is this "{prompt}"? ', " {prompt} yes or no"}


def test_the_cap_is_exact_with_64_requests_at_once(files, tmp_path, server):
    torch.manual_seed(1)
    save_file({"frames": torch.rand(200, 1, 3, 8, 8)}, files / "many.safetensors")
    values, folder = score(files, tmp_path, entry(server, "one", concurrency=64, limits={"max_requests": 100}),
                           frames=str(files / "many.safetensors"), prompts={"texts": ["a"] * 200}, batch_size=200)
    assert server.state("one").requests == 100
    assert sum(value is not None for value in values) == 100
    assert "/limits/max_requests" in reasons(folder)


def test_the_cache_gives_the_same_without_a_request(files, tmp_path, server):
    reward = entry(server, "good", cache={"file": str(tmp_path / "answers.sqlite")})
    first, _ = score(files, tmp_path, reward, "first")
    asked = server.state("good").requests
    again, _ = score(files, tmp_path, reward, "again")
    assert server.state("good").requests == asked and again == first
    # Without it the server says something else by now.
    assert score(files, tmp_path, entry(server, "good"), "without")[0] == [-1000.0] * COUNT


def test_a_cap_holds_over_runs_that_share_a_file(files, tmp_path, server):
    reward = entry(server, "one", cache={"file": str(tmp_path / "answers.sqlite")}, limits={"max_requests": 5}, concurrency=1)
    first, _ = score(files, tmp_path, reward, "first")
    again, _ = score(files, tmp_path, reward, "again")
    assert server.state("one").requests == 5
    assert first == again and [value is None for value in first] == [False] * 5 + [True] * 2


def every_text(folder):
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("mode", ["good", "echo"])
def test_the_key_is_sent_and_shown_nowhere(files, tmp_path, server, mode, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "TEST_JUDGE_KEY", KEY)
    cache = {"file": str(tmp_path / "answers.sqlite")}
    job = score_job(files, entry(server, mode, api_key_env="TEST_JUDGE_KEY", cache=cache), output=str(tmp_path / "run"))
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert {headers["Authorization"] for headers in server.state(mode).headers} == {f"Bearer {KEY}"}
    assert KEY not in done.stdout + done.stderr
    assert not any(KEY.encode() in text for text in every_text(tmp_path))
    if mode == "echo":
        assert "[the API key]" in done.stderr + said(tmp_path / "run")


MISTAKES = [
    ({"url": "http://127.0.0.1:1/", "allow_hosts": []}, "/url", "https"),
    ({"url": "https://127.0.0.1:1/", "allow_hosts": []}, "/url", "loopback"),
    ({"url": "http://u@127.0.0.1/"}, "/url", "host"),
    ({"allow_hosts": ["localhost"]}, "/allow_hosts/0", "read by nothing"),
    ({"api_key_env": "NO_SUCH_VARIABLE"}, "/api_key_env", "NO_SUCH_VARIABLE"),
    ({"api_key": KEY}, "/api_key", "unknown key"),
    ({"expect": {"id": "another"}}, "/expect/id", '"test"'),
    ({"cache": {"file": "/nowhere/at/all.sqlite"}}, "/cache/file", "cannot be used"),
]


@pytest.mark.parametrize("config, place, text", MISTAKES)
def test_mistakes_are_refused_at_their_place(files, tmp_path, server, config, place, text):
    done = thalweg("run", write_job(tmp_path / "job.json", score_job(files, entry(server, "good", **config), output=str(tmp_path / "run"))))
    assert done.returncode == 2, done.stderr
    assert f"/rewards/0/config{place}" in done.stderr and text in done.stderr, done.stderr


def test_it_has_a_process_of_its_own(files, tmp_path, server):
    """So a server that is slow holds up no other reward; and its limits may be given."""
    values, _ = score(files, tmp_path, {**entry(server, "good"), "host": {"call_seconds": 60.0}})
    assert None not in values
    inside = {**entry(server, "inside"), "isolation": "inproc"}
    assert score(files, tmp_path, inside, "inside")[0] == values


def validated(config):
    done = thalweg("plugins", "--validate", BUILD / "plugins/remote.so", "--config", json.dumps(config))
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_clause_of_the_interface_holds(files, server):
    server.steady = True
    for reward in (entry(server, "good"), entry(server, "flow", protocol="flow_factory"), chat(server, files)):
        if reward["config"].get("protocol") == "flow_factory":
            del reward["config"]["format"]
        assert " 0 FAILED" in validated(reward["config"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    paths = str(folder / "certificate.pem"), str(folder / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=judge", "-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
                   check=True, capture_output=True)
    return paths


def test_tls_is_checked(files, tmp_path, certificate):
    server = Server(certificate)
    try:
        assert score(files, tmp_path, entry(server, "good", ca_file=certificate[0]))[0] == pytest.approx(expected(), rel=1e-7)
        done = thalweg("run", write_job(tmp_path / "job.json", score_job(files, entry(server, "other"), output=str(tmp_path / "other"))))
        assert done.returncode != 0 and "certificate" in done.stderr
        assert server.state("other").requests == 0
    finally:
        server.stop()


TRAINING = {"method": {"name": "flow_grpo", "prompts_per_iteration": 2, "group_size": 4},
            "sampler": {"name": "flow_sde", "steps": 3, "height": 64, "width": 64}}


def training_job(server, mode, folder):
    # PNG, as most users have it.
    reward = entry(server, mode, format="png", concurrency=1, timeouts={"request_s": 60}, cache={"file": str(folder / "answers.sqlite")})
    prompts = folder / "prompts.txt"
    prompts.write_text("a red circle\ntwo blue squares\na big green triangle\na blue circle\n")
    return {"job": "align", "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1, "lora": {"rank": 4, "alpha": 8}},
            "prompts": {"train": str(prompts), "select": str(prompts), "eval": str(prompts)},
            "rewards": [reward], **TRAINING, "optimizer": {"learning_rate": 1e-3}, "iterations": 4,
            "evaluate": {"every": 2, "steps": 3, "pictures": 0}, "checkpoint": {"every": 1, "keep": 2},
            "parallel": {"workers": 1, "lanes": 1, "micro_batch": 4}, "seed": 3}


def curve(folder):
    return rows(folder / "metrics.jsonl")


def test_a_killed_run_goes_on_with_the_same_curve(tmp_path, server):
    """The server says something else to whoever asks again: only the cache makes the curve the same."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    finish(tmp_path / "whole/run", training_job(server, "whole", tmp_path / "whole"))
    job, killed = training_job(server, "killed", tmp_path / "killed"), server.state("killed")
    killed.last = server.state("whole").requests // 2
    process = start(tmp_path / "killed/run", job)
    assert killed.reached.wait(120)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finish(tmp_path / "killed/run", job)
    assert killed.again == 0 and killed.requests == server.state("whole").requests + 1
    assert len(curve(tmp_path / "whole/run")) > 4
    assert curve(tmp_path / "killed/run") == curve(tmp_path / "whole/run")


def test_a_run_that_a_cap_has_paused_goes_on_when_the_cap_is_raised(tmp_path, server):
    """The file of answers has changed by then, and is no input of the run's."""
    for name in ("rich", "poor"):
        (tmp_path / name).mkdir()
    finish(tmp_path / "rich/run", training_job(server, "rich", tmp_path / "rich"))
    job, requests = training_job(server, "poor", tmp_path / "poor"), server.state("rich").requests
    job["failed_rewards"] = {"min_valid_fraction": 1.0}
    job["rewards"][0]["config"]["limits"] = {"max_requests": requests // 2}
    process = start(tmp_path / "poor/run", job)
    heard, _ = process.communicate(timeout=120)
    assert process.returncode == 3 and "run the same command to go on" in heard, heard
    assert "cap" in json.loads((tmp_path / "poor/run/result.json").read_text())["paused"]
    job["rewards"][0]["config"]["limits"] = {"max_requests": 2 * requests}
    assert "resuming at iteration" in finish(tmp_path / "poor/run", job)
    assert curve(tmp_path / "poor/run") == curve(tmp_path / "rich/run")


REWARD = """
import torch
dimensions = ["avg"]
def pickscore(device):
    def fn(images, prompts, metadata):
        weight = torch.tensor([[len(prompt) + 1.0] for prompt in prompts])
        return {"avg": ((images * images).mean(dim=(2, 3)) * torch.tensor([1.0, -0.5, 0.25])).sum(1) * weight[:, 0].sqrt()}, {}
    return fn
"""


@contextlib.contextmanager
def serving(file, *options):
    """The URL of plugins/remote/servers/reward_server.py with this file."""
    command = [sys.executable, str(ROOT / "plugins/remote/servers/reward_server.py"), str(file), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "SERVED_KEY": KEY})
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def example(tmp_path):
    """With a function as flow_grpo writes them."""
    (tmp_path / "reward.py").write_text(REWARD)
    with serving(tmp_path / "reward.py", "--function", "pickscore", "--gradient", "autograd", "--max-batch", "3", "--api-key-env", "SERVED_KEY") as url:
        yield url


def described(file, *options):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with serving(file, *options) as url, direct.open(f"{url}/v1/reward", timeout=30) as reply:
        return json.load(reply)


def test_the_example_server_says_which_weights_it_has(tmp_path):
    file, first, second = (tmp_path / name for name in ("reward.py", "a.bin", "b.bin"))
    file.write_text("def score(frames):\n    return frames.mean((1, 2, 3, 4))\n")
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    said = [described(file)["weights_sha256"], described(file, "--weights", str(first), str(second))["weights_sha256"]]
    second.write_bytes(b"three")
    said.append(described(file, "--weights", str(first), str(second))["weights_sha256"])
    assert len(set(said)) == 3 and said[0] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert described(file)["weights_sha256"] == said[0]


@pytest.mark.parametrize("parameters, of_its_sample", [
    ("frames, prompts, metadata, fps, step_index", False), ("frames, seeds", True), ("frames, sample_ids", True), ("frames, group_ids", True)])
def test_the_example_server_says_whether_a_score_is_of_its_sample(tmp_path, parameters, of_its_sample):
    (tmp_path / "reward.py").write_text(f"def score({parameters}):\n    return [0.0] * len(frames)\n")
    assert described(tmp_path / "reward.py")["nondeterministic"] is of_its_sample


def test_the_example_server_scores_as_the_function_in_a_process(files, tmp_path, example, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "TEST_JUDGE_KEY", KEY)
    far = {"plugin": "remote", "config": {"url": example, "allow_hosts": ["127.0.0.1"], "format": "raw", "api_key_env": "TEST_JUDGE_KEY"}}
    near = {"plugin": "python", "config": {"file": str(tmp_path / "reward.py"), "function": "pickscore", "interpreter": sys.executable,
                                           "gradient": "autograd"}}
    values = [score(files, tmp_path, reward, name)[0] for name, reward in (("far", far), ("near", near))]
    assert values[0] == pytest.approx(values[1], abs=1e-6) and len(set(values[0])) == COUNT
    png = score(files, tmp_path, {**far, "config": {**far["config"], "format": "png"}}, "png")[0]
    assert png == pytest.approx(values[1], abs=0.05)
    # Gradients steer alike: the pictures differ by what a float does.
    drawn = []
    for name, reward in (("far-steered", far), ("near-steered", near)):
        job = {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"texts": ["a", "b"]},
               "sampler": {"name": "memoryless", "steps": 4, "height": 16, "width": 16},
               "steering": [{"name": "dps", "lambda": 20.0}], "rewards": [reward], "seed": 3}
        folder = run_job(tmp_path / name, job)
        drawn.append([row["reward"] for row in map(json.loads, (folder / "scores.jsonl").read_text().splitlines())])
    assert drawn[0] == pytest.approx(drawn[1], abs=1e-5)
    unsteered = run_job(tmp_path / "unsteered", {**job, "steering": []})
    assert [row["reward"] for row in map(json.loads, (unsteered / "scores.jsonl").read_text().splitlines())] != pytest.approx(drawn[1], abs=1e-3)


def test_the_example_server_keeps_the_interface(example, monkeypatch):
    """Its gradients agree with finite differences of its scores."""
    monkeypatch.setitem(ENVIRONMENT, "TEST_JUDGE_KEY", KEY)
    said = validated({"url": example, "allow_hosts": ["127.0.0.1"], "format": "raw", "api_key_env": "TEST_JUDGE_KEY"})
    assert " 0 FAILED" in said and "ok       gradient.inputs" in said and "ok       gradient.finite-differences" in said


def test_the_example_server_wants_its_key(files, tmp_path, example):
    far = {"plugin": "remote", "config": {"url": example, "allow_hosts": ["127.0.0.1"]}}
    done = thalweg("run", write_job(tmp_path / "job.json", score_job(files, far, output=str(tmp_path / "run"))))
    assert done.returncode != 0 and "status 401" in done.stderr
