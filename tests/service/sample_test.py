"""Pictures at once: beside the queue, in the answer."""

import base64
import concurrent.futures

import pytest

from service_server import align_job, sample_job


def test_pictures_come_in_the_answer_while_a_run_trains(server):
    blocker = server.submit(align_job(iterations=100_000))
    behind = server.submit(sample_job(seed=5))
    server.until(blocker["id"], "running")
    jobs = [sample_job(seed=seed, images_per_prompt=2) for seed in range(3)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda job: server.post("/v1/sample", job)[1], jobs))
    for answer in answers:
        pictures = [base64.b64decode(sample["b64_json"]) for sample in answer["data"]]
        assert len(pictures) == 2 and all(p.startswith(b"\x89PNG") for p in pictures)
        assert answer["result"]["status"] == "succeeded" and answer["object"] == "sample"
        assert server.get(answer["data"][0]["url"], raw=True)[1] == pictures[0]
        assert server.job(answer["job"])["lane"] == "interactive"
    assert len({answer["data"][0]["b64_json"] for answer in answers}) == 3
    assert server.job(blocker["id"])["status"] == "running" and server.job(behind["id"])["status"] == "queued"
    by_address = server.post("/v1/sample?response_format=url", jobs[0])[1]["data"]
    assert len(by_address) == 2 and not any("b64_json" in sample for sample in by_address)


def test_a_steered_sample(server):
    job = sample_job(steering=[{"name": "best_of_n", "particles": 2}], rewards=[{"plugin": "scene", "dimensions": {"soft": 1.0}}])
    answer = server.post("/v1/sample", job)[1]
    assert len(answer["data"]) == 1 and answer["result"]["status"] == "succeeded"


def test_what_is_refused(server):
    assert server.post("/v1/sample", align_job(), expect=400)[1]["error"]["param"] == "/job"
    assert server.post("/v1/sample", sample_job(sampler={"name": "flow_od"}), expect=400)[1]["error"]["param"] == "/sampler/name"
    assert server.post("/v1/sample", sample_job(model={"path": "/etc"}), expect=403)[1]["error"]["param"] == "/model/path"
    assert server.post("/v1/sample?response_format=gif", sample_job(), expect=400)[1]["error"]["param"] == "response_format"
    (server.folder / "root/broken").mkdir()
    (server.folder / "root/broken/model_index.json").write_text("{}")
    assert server.post("/v1/sample", sample_job(model={"path": "broken"}), expect=400)[1]["error"]["message"]


@pytest.mark.parametrize("action", ["cancel", "pause"])
def test_one_that_is_ended_meanwhile_is_told_so(server, action):
    job = sample_job(images_per_prompt=2000, sampler={"name": "flow_ode", "steps": 100, "height": 64, "width": 64})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: server.post("/v1/sample", job, expect=503))
        identity = server.wait(lambda: next((j["id"] for j in server.get("/v1/jobs?status=running")[1]["data"]), None))
        server.post(f"/v1/jobs/{identity}/{action}")
        assert answer.result()[1]["error"]["code"] in ("cancelled", "paused")
