"""The stream of events: each once, in order, also for who comes again, and for many who do not read."""

import http.client
import json
import socket
import time
import urllib.parse

from service_server import align_job, sample_job


def stream(server, identity, last=None, most=None):
    """(kind, id, data) of server-sent events, until the end or so many."""
    address = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    connection.request("GET", f"/v1/fine_tuning/jobs/{identity}/events?stream=true", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type") == "text/event-stream"
    found, event = [], {}
    while line := answer.readline():
        text = line.decode().rstrip("\n")
        if text and not text.startswith(":"):
            name, value = text.split(": ", 1)
            event[name] = value
        elif not text and event:
            found.append((event["event"], event.get("id"), event["data"]))
            event = {}
            if most and len([f for f in found if f[1]]) >= most:
                break
    connection.close()
    return found


def test_a_stream_has_every_event_once_and_ends(server):
    job = server.submit(align_job(iterations=3))
    live = stream(server, job["id"])
    assert live[-1] == ("done", None, "[DONE]")
    numbered = [(int(number), json.loads(data)) for kind, number, data in live if number]
    listed = server.events(job["id"])
    assert [data for _, data in numbered] == listed
    assert [n for n, _ in numbered] == sorted({n for n, _ in numbered})
    assert {kind for kind, _, _ in live} >= {"status", "message", "metrics", "done"}
    metrics = server.get(f"/v1/jobs/{job['id']}/metrics?kind=train")[1]
    assert [row["step"] for row in metrics["data"]] == [1, 2, 3] and metrics["last_step"] == 3
    assert [row["step"] for row in server.get(f"/v1/jobs/{job['id']}/metrics?kind=train&since_step=1&stride=3")[1]["data"]] == [3]
    # From where a stream broke off.
    first = stream(server, job["id"], most=4)
    rest = stream(server, job["id"], last=[n for _, n, _ in first if n][-1])
    joined = [d for _, n, d in first + rest if n]
    assert [json.loads(d) for d in joined] == listed


def test_clients_that_never_read_are_no_burden(server):
    job = server.submit(align_job(iterations=1000))
    address = urllib.parse.urlsplit(server.url)
    silent = []
    for _ in range(200):
        sock = socket.create_connection((address.hostname, address.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(f"GET /v1/jobs/{job['id']}/events?stream=true HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        silent.append(sock)
    assert len(stream(server, job["id"], most=20)) >= 20
    times = []
    for _ in range(50):
        begin = time.monotonic()
        server.get("/health")
        times.append(time.monotonic() - begin)
    assert sorted(times)[25] < 0.5, times
    for sock in silent:
        sock.close()
    server.post(f"/v1/jobs/{job['id']}/cancel")
    server.until(job["id"], "cancelled")


def test_a_server_that_was_killed_tells_nothing_twice(server):
    job = server.submit(align_job(iterations=12))
    server.wait(lambda: any(e["type"] == "metrics" and e["data"]["step"] >= 3 for e in server.events(job["id"])))
    server.kill()
    server.start()
    server.until(job["id"], "succeeded")
    steps = [(e["data"]["kind"], e["data"]["step"]) for e in server.events(job["id"]) if e["type"] == "metrics"]
    assert sorted(set(steps)) == sorted(steps)
    assert {s for k, s in steps if k == "train"} == set(range(1, 13))


def test_unknown_ids_of_events(server):
    job = server.submit(sample_job())
    for odd in ("x", "-1", "ftevent-", "99999999999999999999"):
        assert server.get(f"/v1/jobs/{job['id']}/events?after={odd}", expect=400)[1]["error"]["param"] == "after"
