"""A damaged store: noticed at the start, and made anew from the jobs' folders."""

import random
import subprocess

import pytest

from service_server import PROGRAM, Server, sample_job

JOBS = 120


def doctor(server, *options, code=0):
    done = subprocess.run([PROGRAM, "doctor", "--store", str(server.folder / "store"), *options], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def filled(make_server):
    """A store with a finished job, a cancelled one, and many that wait; its server is gone."""
    server = make_server()
    finished = server.submit(sample_job())["id"]
    server.until(finished, "succeeded")
    blocker = server.submit(sample_job(images_per_prompt=100_000))["id"]
    server.until(blocker, "running")
    ids = [server.submit({"job": sample_job(seed=i), "priority": i % 3, "metadata": {"n": str(i)}})["id"] for i in range(JOBS)]
    server.post(f"/v1/jobs/{ids[5]}/cancel")
    server.kill()
    server.finished, server.blocker, server.ids = finished, blocker, ids
    return server


def require_all_there(server, least):
    """Every job is listed once, as it was, and can run."""
    server.start()
    server.post(f"/v1/jobs/{server.blocker}/cancel")
    found = 0
    for i, identity in enumerate(server.ids):
        status, job = server.get(f"/v1/jobs/{identity}", expect=None)
        if status != 200:
            continue
        found += 1
        assert job["metadata"] == {"n": str(i)} and job["job"]["seed"] == i and job["priority"] == i % 3
        assert (job["status"] == "cancelled") == (i == 5)
    assert found >= least * JOBS
    assert server.job(server.finished)["status"] == "succeeded" and server.job(server.finished)["result"]
    assert server.until(server.ids[2], "succeeded", "failed")["status"] == "succeeded"
    assert server.until(server.submit({"job": sample_job(seed=1000), "priority": 100})["id"], "succeeded", "failed")["status"] == "succeeded"


def refuse_to_start(server):
    with pytest.raises(AssertionError) as refused:
        Server(server.folder).start()
    return str(refused.value)


def flip_bits(path, count, seed):
    draw, content = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(count):
        at = draw.randrange(len(content))
        content[at] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(content))


def checkpointed(server):
    server.start()
    server.stop()  # the last connection that closes writes the log into the table
    assert not (server.folder / "store/store.sqlite-wal").exists()


def test_a_whole_store_is_said_to_be_whole(filled):
    said = doctor(filled)
    assert f"{JOBS + 2} jobs can be read; nothing is wrong" in said
    assert "nothing is wrong" in doctor(filled, "--repair")
    require_all_there(filled, 1.0)
    assert "a server has this store" in doctor(filled, code=2)


@pytest.mark.parametrize("bits", [20, 1000])
def test_flipped_bits(filled, bits):
    checkpointed(filled)
    flip_bits(filled.folder / "store/store.sqlite", bits, seed=bits)
    if bits == 1000:
        assert "doctor" in refuse_to_start(filled) or "cannot be" in refuse_to_start(filled)
        assert "damaged" in doctor(filled, code=1)
    said = doctor(filled, "--repair")
    require_all_there(filled, 0.99)
    if "made anew" in said:
        assert list((filled.folder / "store").glob("store.sqlite.damaged-1"))


def test_no_table_at_all(filled):
    checkpointed(filled)
    table = filled.folder / "store/store.sqlite"
    table.write_bytes(b"\0" * 5000)
    assert "doctor" in refuse_to_start(filled) or "cannot" in refuse_to_start(filled)
    assert "made anew" in doctor(filled, "--repair")
    require_all_there(filled, 1.0)


def test_half_a_table(filled):
    checkpointed(filled)
    table = filled.folder / "store/store.sqlite"
    table.write_bytes(table.read_bytes()[:table.stat().st_size // 2])
    assert "made anew" in doctor(filled, "--repair")
    require_all_there(filled, 1.0)


def test_a_log_that_is_cut_and_a_lost_index_of_it(filled):
    store = filled.folder / "store"
    log = store / "store.sqlite-wal"
    if log.exists():
        log.write_bytes(log.read_bytes()[:log.stat().st_size * 2 // 3])
    (store / "store.sqlite-shm").unlink(missing_ok=True)
    doctor(filled, "--repair")  # jobs that the log had alone are in their folders
    require_all_there(filled, 1.0)


def test_a_folder_that_is_no_store(tmp_path):
    done = subprocess.run([PROGRAM, "doctor", "--store", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2 and "is no store" in done.stderr
