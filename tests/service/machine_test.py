"""The machine under the service: its cores and GPUs shared out, its clock set while jobs run."""

import os
import pathlib

import pytest

from service_server import ROOT, align_job, sample_job

CLOCK = next((pathlib.Path(os.environ.get("THALWEG_BUILD", ROOT / "build/release")) / "tests").glob("**/libclock.so"), None)


def processes_of(server):
    """Its runs: {id of the job: (cores, environment)}."""
    runs = {}
    for child in pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split():
        words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"run" in words:
            environment = dict(v.split("=", 1) for v in pathlib.Path(f"/proc/{child}/environ").read_text().split("\0") if "=" in v)
            runs[pathlib.Path(words[2].decode()).parent.name] = (os.sched_getaffinity(int(child)), environment)
    return runs


def test_each_worker_has_its_own_cores_and_gpu(make_server):
    server = make_server("--workers", "2", "--cores", "1", "--gpu", "7", "--gpu", "GPU-abc", environment={"CUDA_VISIBLE_DEVICES": "3"})
    jobs = [server.submit(align_job(iterations=100_000))["id"] for _ in range(3)]
    runs = server.wait(lambda: len(found := processes_of(server)) == 2 and found)
    cores, gpus = [runs[j][0] for j in jobs[:2]], [runs[j][1]["CUDA_VISIBLE_DEVICES"] for j in jobs[:2]]
    assert all(len(c) == 1 for c in cores) and cores[0] != cores[1] and gpus == ["7", "GPU-abc"]
    server.post(f"/v1/jobs/{jobs[0]}/cancel")  # the third takes what the first had
    runs = server.wait(lambda: jobs[2] in (found := processes_of(server)) and found)
    assert runs[jobs[2]][0] == cores[0] and runs[jobs[2]][1]["CUDA_VISIBLE_DEVICES"] == "7"
    for identity in jobs[1:]:
        server.post(f"/v1/jobs/{identity}/cancel")


def test_without_shares_a_run_sees_all(make_server):
    server = make_server()
    job = server.submit(align_job(iterations=100_000))["id"]
    runs = server.wait(lambda: processes_of(server))
    assert runs[job][0] == os.sched_getaffinity(server.process.pid)
    server.post(f"/v1/jobs/{job}/cancel")


def test_more_cores_than_there_are_are_refused(make_server):
    server = make_server("--cores", str(len(os.sched_getaffinity(0)) + 1), start=False)
    with pytest.raises(AssertionError, match="--cores"):
        server.start()


DAY, YEAR = 86_400, 365 * 86_400


def test_a_clock_that_is_set_changes_no_job(make_server, tmp_path):
    shift = tmp_path / "shift"
    shift.write_text("0")
    server = make_server(environment={"LD_PRELOAD": str(CLOCK), "CLOCK_SHIFT": str(shift)})
    long = server.submit(align_job(iterations=6))
    seen = set()
    for seconds in (-DAY, YEAR, 3600, -3600, 0):
        shift.write_text(str(seconds))
        made = server.submit(sample_job(seed=seconds % 1000))
        server.wait(lambda: (job := server.job(long["id"]))["status"] != "running" or job["progress"])
        seen.add(made["created_at"] // DAY)
        assert server.get("/ready")[0] == 200
    assert len(seen) >= 3  # the clock did move
    jobs = [job["id"] for job in server.get("/v1/jobs")[1]["data"]]
    assert jobs[-1] == long["id"] and len(jobs) == 6  # listed by when they came, not by what the clock said
    for identity in jobs:
        done = server.until(identity, "succeeded", "failed")
        assert done["status"] == "succeeded" and done["attempts"] == 1, done["error"]
        numbers = [int(event["id"].split("-")[1]) for event in server.events(identity)]
        assert numbers == sorted(numbers)
        states = [e["data"]["status"] for e in server.events(identity) if e["data"].get("status")]
        assert states == ["queued", "running", "succeeded"]


def test_a_server_that_dies_while_the_clock_is_set_back_takes_its_jobs_up(make_server, tmp_path):
    shift = tmp_path / "shift"
    shift.write_text("0")
    server = make_server(environment={"LD_PRELOAD": str(CLOCK), "CLOCK_SHIFT": str(shift)})
    job = server.submit(align_job(iterations=6))
    server.wait(lambda: server.job(job["id"])["progress"])
    server.kill()
    shift.write_text(str(-YEAR))
    server.start()
    done = server.until(job["id"], "succeeded", "failed")
    assert done["status"] == "succeeded" and done["attempts"] == 2
