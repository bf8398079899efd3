"""Rewards that an operator loads while the service runs."""

import json
import os
import pathlib
import shutil

import pytest

from service_server import ADMIN, KEY, ROOT, align_job, sample_job

PLUGINS = pathlib.Path(os.environ.get("THALWEG_BUILD", ROOT / "build/release")) / "tests/plugins"


@pytest.fixture
def operated(guarded):
    guarded.key = ADMIN
    shutil.copy(PLUGINS / "good.so", guarded.folder / "root/mine.so")
    return guarded


def steered(name):
    """A job that scores with this reward."""
    return sample_job(rewards=[{"plugin": name, "weight": 1.0}])


def states(server):
    return {p["plugin"]: (p["state"], p["loaded"]) for p in server.get("/v1/plugins")[1]["data"]}


def test_a_reward_is_loaded_named_and_unloaded(operated):
    assert operated.post("/v1/jobs", steered("mine"), expect=400)[1]["error"]["param"] == "/rewards/0/plugin"
    made = operated.post("/v1/plugins", {"name": "mine", "file": "mine.so"}, expect=201)[1]
    assert made["state"] == "READY" and made["loaded"] and str(operated.folder) not in json.dumps(made)
    assert states(operated)["mine"] == ("READY", True) and states(operated)["scene"] == ("READY", False)
    (info,) = operated.post("/v1/rewards/validate", {"reward": {"plugin": "mine"}})[1]["data"]
    assert info["name"] == "mine"
    blocker = operated.submit(align_job(iterations=100_000))
    operated.until(blocker["id"], "running")
    job = operated.submit(steered("mine"))
    assert job["job"]["rewards"][0]["plugin"] == "mine"
    assert operated.request("DELETE", "/v1/plugins/mine")[1]["deleted"]
    assert "mine" not in states(operated)
    operated.request("DELETE", "/v1/plugins/mine", expect=404)
    operated.post("/v1/jobs", steered("mine"), expect=400)
    operated.post(f"/v1/jobs/{blocker['id']}/cancel")
    done = operated.until(job["id"], "succeeded", "failed")  # it was given the reward when it came
    assert done["status"] == "succeeded", done["error"]
    assert any(name.startswith("mine/") for name in done["result"]["rewards"])


def test_a_loaded_reward_is_there_after_a_restart(operated):
    operated.post("/v1/plugins", {"name": "mine", "file": "mine.so"}, expect=201)
    operated.kill()
    operated.start()
    assert states(operated)["mine"] == ("READY", True)
    assert operated.until(operated.submit(steered("mine"))["id"], "succeeded", "failed")["status"] == "succeeded"


def test_it_runs_in_a_process_of_its_own(operated):
    operated.post("/v1/plugins", {"name": "mine", "file": "mine.so"}, expect=201)
    job = steered("mine")
    job["rewards"][0]["isolation"] = "inproc"
    assert operated.post("/v1/jobs", job, expect=403)[1]["error"]["param"] == "/rewards/0/isolation"


def test_only_an_operator_loads(operated):
    operated.key = KEY
    assert operated.post("/v1/plugins", {"name": "mine", "file": "mine.so"}, expect=403)[1]["error"]["code"] == "not_an_operator"
    operated.request("DELETE", "/v1/plugins/mine", expect=403)
    assert "scene" in states(operated)


def test_what_breaks_the_contract_is_not_loaded(operated):
    for library in ("nan_spreads", "crashes", "missing_symbol"):
        shutil.copy(PLUGINS / f"{library}.so", operated.folder / "root/bad.so")
        error = operated.post("/v1/plugins", {"name": "bad", "file": "bad.so"}, expect=400)[1]["error"]
        assert error["code"] == "plugin_refused" and error["message"], library
    (operated.folder / "root/bad.so").write_text("no library")
    assert operated.post("/v1/plugins", {"name": "bad", "file": "bad.so"}, expect=400)[1]["error"]["code"] == "plugin_refused"
    assert "bad" not in states(operated) and not list((operated.folder / "store/uploads").iterdir())


def test_names_and_files(operated):
    operated.post("/v1/plugins", {"name": "mine", "file": "mine.so"}, expect=201)
    for body, status, pointer in [({"name": "mine", "file": "mine.so"}, 409, "/name"), ({"name": "scene", "file": "mine.so"}, 409, "/name"),
                                  ({"name": "../x", "file": "mine.so"}, 400, "/name"), ({"name": "", "file": "mine.so"}, 400, "/name"),
                                  ({"name": "x", "file": "/etc/passwd"}, 400, "/file"), ({"name": "x", "file": "../store/lock"}, 400, "/file"),
                                  ({"name": "x", "file": "none.so"}, 400, "/file"), ({"name": "x"}, 400, "/file"),
                                  ({"name": "x", "file": "mine.so", "config": 3}, 400, "/config"),
                                  ({"name": "x", "file": "mine.so", "path": 3}, 400, "/path")]:
        assert operated.post("/v1/plugins", body, expect=status)[1]["error"]["param"] == pointer, body
