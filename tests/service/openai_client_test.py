"""The stock client of OpenAI, unchanged, with nothing but another base_url."""

import json

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from service_server import align_job


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


REQUEST = {"model": "tiny-sd3", "training_file": "train.txt", "validation_file": "select.txt", "seed": 3,
           "method": {"type": "awm", "awm": {
               "hyperparameters": {"n_epochs": 2, "batch_size": 3, "learning_rate": 1e-4, "group_size": 4},
               "grader": {"type": "multi", "calculate_output": "0.5 * a + b", "graders": {
                   "a": {"type": "thalweg", "plugin": "scene", "dimensions": {"soft": 1.0}},
                   "b": {"type": "thalweg", "plugin": "color"}}}}},
           "metadata": {"team": "a"}}


def test_create_list_retrieve_events_checkpoints(server, client):
    body = json.loads(json.dumps(REQUEST))
    created = client.post("/fine_tuning/jobs", body=body, cast_to=FineTuningJob)
    assert created.object == "fine_tuning.job" and created.status in ("queued", "running")
    assert created.model == "tiny-sd3" and created.seed == 3 and created.metadata == {"team": "a"}
    own = server.job(created.id)["job"]
    assert own["iterations"] == 2 and own["method"] | {"name": "awm", "prompts_per_iteration": 3, "group_size": 4} == own["method"]
    assert own["optimizer"]["learning_rate"] == 1e-4 and own["prompts"]["train"] == "train.txt"
    assert [(r["plugin"], r.get("weight", 1.0)) for r in own["rewards"]] == [("scene", 0.5), ("color", 1.0)]
    client.fine_tuning.jobs.cancel(created.id)
    done = server.until(created.id, "cancelled")
    assert done["finished_at"] >= done["created_at"]
    assert client.fine_tuning.jobs.retrieve(created.id).status == "cancelled"


def test_a_job_to_its_end(server, client):
    job = server.submit(align_job(iterations=2))
    server.until(job["id"], "succeeded", "failed")
    seen = client.fine_tuning.jobs.retrieve(job["id"])
    assert seen.status == "succeeded" and seen.error is None and seen.fine_tuned_model.startswith(job["id"])
    events = list(client.fine_tuning.jobs.list_events(job["id"], limit=5))  # follows the pages
    assert len(events) > 5 and [e.id for e in events] == sorted((e.id for e in events), key=lambda i: int(i.split("-")[1]), reverse=True)
    metrics = [e for e in events if e.type == "metrics"]
    assert {e.data["step"] for e in metrics} == {0, 1, 2}
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job["id"]))
    assert [c.step_number for c in checkpoints] == [2, 1]
    assert checkpoints[0].metrics.step == 2 and checkpoints[0].fine_tuning_job_id == job["id"]


def test_paging_and_metadata(server, client):
    made = [server.submit({"job": align_job(), "metadata": {"n": str(n % 2)}})["id"] for n in range(5)]
    listed = [job.id for job in client.fine_tuning.jobs.list(limit=2)]
    assert listed == made[::-1]
    odd = client.fine_tuning.jobs.list(metadata={"n": "1"})
    assert [job.id for job in odd] == [made[3], made[1]]
    for identity in made:
        client.fine_tuning.jobs.cancel(identity)


def test_pause_and_resume(server, client):
    job = server.submit(align_job(iterations=200))
    server.wait(lambda: any(e["type"] == "metrics" for e in server.events(job["id"])))
    client.fine_tuning.jobs.pause(job["id"])
    assert server.until(job["id"], "paused", "succeeded")["status"] == "paused"
    client.fine_tuning.jobs.resume(job["id"])
    server.until(job["id"], "running")
    client.fine_tuning.jobs.cancel(job["id"])
    assert server.until(job["id"], "cancelled")["attempts"] == 2


def test_errors_are_the_clients_own(server, client):
    with pytest.raises(openai.NotFoundError) as missing:
        client.fine_tuning.jobs.retrieve("ftjob-none")
    assert missing.value.code == "no_such_job" and missing.value.param == "id"
    with pytest.raises(openai.BadRequestError) as unknown:
        client.fine_tuning.jobs.create(model="nobody", training_file="train.txt")
    assert unknown.value.param == "/model" and unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as key:
        client.post("/fine_tuning/jobs", body={**REQUEST, "method": {"type": "awm", "awm": {"hyperparameters": {"grup_size": 4}}}},
                    cast_to=object)
    assert key.value.param == "/method/grup_size" and "group_size" in key.value.message
    with pytest.raises(openai.BadRequestError) as formula:
        client.fine_tuning.jobs.create(model="tiny-sd3", training_file="train.txt", method={"type": "reinforcement", "reinforcement": {
            "grader": {"type": "multi", "calculate_output": "max(a, b)", "graders": {}}}})
    assert formula.value.param == "/method/reinforcement/grader/calculate_output"


def test_files(server, client):
    made = client.files.create(file=("../prompts.txt", b"a red circle\na blue square\n"), purpose="fine-tune")
    assert made.filename == "prompts.txt" and made.bytes == 27
    assert client.files.content(made.id).read() == b"a red circle\na blue square\n"
    assert [f.id for f in client.files.list()] == [made.id]
    job = server.submit(align_job(iterations=1, prompts={"train": made.id, "select": "select.txt", "eval": "eval.txt"}))
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)
    done = server.until(job["id"], "succeeded", "failed")  # what a job was given stays with it
    assert done["status"] == "succeeded", done["error"]
    assert done["job"]["prompts"]["train"] == made.id
