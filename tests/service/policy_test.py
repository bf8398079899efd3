"""What a job from outside may name."""

import os

import pytest

from service_server import align_job, sample_job

LEADS_OUT = ["/etc/passwd", "../outside", "assets/../../outside", "link", "link/passwd", "~/x", "assets/models/../../..", "/proc/self/root"]
STRINGS = ["/model/path", "/prompts/path", "/latents", "/rewards/0/config/file", "/model/lora/path", "/anything/deep/0/key"]


def with_value(job, pointer, value):
    job = {**job}
    job.setdefault("rewards", [{"plugin": "scene", "config": {}}])
    here = job
    *parents, last = pointer.strip("/").split("/")
    for name, following in zip(parents, [*parents[1:], last]):
        if isinstance(here, list):
            while len(here) <= int(name):
                here.append({})
            here = here[int(name)]
            continue
        if not isinstance(here.get(name), (dict, list)) or (name == "model" and last != "path"):
            here[name] = [] if following.isdigit() else {}
        else:
            here[name] = here[name].copy()
        here = here[name]
    here[last] = value
    return job


@pytest.fixture
def fenced(server):
    os.symlink("/etc", server.folder / "root/link")
    return server


def test_no_path_leads_out_of_the_root(fenced):
    for pointer in STRINGS:
        for value in LEADS_OUT:
            refused = fenced.post("/v1/jobs", with_value(sample_job(), pointer, value), expect=403)[1]["error"]
            assert refused["code"] == "path_not_allowed" and refused["param"] == pointer
    assert not fenced.get("/v1/jobs")[1]["data"]


URLS = ["http://127.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]:80/", "http://2130706433/", "file:///etc/passwd",
        "gopher://localhost/", "https://evil.example/", "http://localhost@evil.example/", "HTTP://EVIL.EXAMPLE", "https://a.example.evil"]


def test_no_host_is_asked_that_is_not_allowed(make_server):
    server = make_server("--allow-remote", "judge.example", "a.example:8443")
    for url in [*URLS, "https://judge.example.evil/", "https://a.example/", "https://a.example:443/"]:
        for pointer in STRINGS:
            assert server.post("/v1/jobs", with_value(sample_job(), pointer, url), expect=403)[1]["error"]["code"] == "host_not_allowed", url
    for url in ("https://judge.example/v1", "https://JUDGE.example:8443/v1", "https://a.example:8443/"):
        job = align_job(rewards=[{"plugin": "remote", "config": {"url": url}}])
        assert "host_not_allowed" not in str(server.post("/v1/jobs", job, expect=None)[1])


@pytest.mark.parametrize("reward", [{"plugin": "plugins/scene.so"}, {"plugin": "./scene"}, {"plugin": "scene.so"}])
def test_a_library_is_named_and_not_pointed_at(server, reward):
    (server.folder / "root/plugins").mkdir()
    (server.folder / "root/plugins/scene.so").write_bytes(b"")
    assert server.post("/v1/jobs", align_job(rewards=[reward]), expect=403)[1]["error"]["param"] == "/rewards/0/plugin"


def test_python_and_other_rewards_are_the_operators_to_admit(make_server):
    server = make_server("--plugin", "color")
    assert "Python" in server.post("/v1/jobs", align_job(rewards=[{"plugin": "python", "config": {"file": "r.py"}}]), expect=403)[1]["error"]["message"]
    refused = server.post("/v1/jobs", align_job(), expect=403)[1]["error"]
    assert refused["code"] == "reward_not_allowed" and "scene" in refused["message"]
    job = align_job(rewards=[{"plugin": "color"}])
    job["evaluate"].pop("metric")
    server.submit(job)
    for key in ("sandbox", "network", "writable"):
        refused = server.post("/v1/jobs", align_job(rewards=[{"plugin": "color", "host": {key: True}}]), expect=403)[1]["error"]
        assert refused["param"] == f"/rewards/0/host/{key}"


def test_prompts_are_texts(server):
    job = sample_job(prompts={"texts": ["/etc/passwd", "../x", "http://evil.example/", "<script>alert(1)</script>"]})
    assert server.until(server.submit(job)["id"], "succeeded", "failed")["status"] == "succeeded"


def test_questions_are_fenced_too(fenced):
    for path in ("/v1/plan", "/v1/validate"):
        assert fenced.post(path, sample_job(model={"path": "/etc"}), expect=403)[1]["error"]["param"] == "/model/path"
    assert fenced.post("/v1/validate", sample_job())[1]["sampler"]["steps"] == 2
    assert fenced.post("/v1/plan", sample_job())[1]["job"] == "sample"
    plugins = {p["plugin"]: p for p in fenced.get("/v1/plugins")[1]["data"]}
    assert plugins["scene"]["state"] == "READY" and plugins["python"]["state"] == "UNAVAILABLE" and plugins["python"]["reason"]
    assert str(fenced.folder) not in str(plugins)
    assert {m["id"] for m in fenced.get("/v1/models")[1]["data"]} == {"tiny-sd3", "tiny-wan"}
