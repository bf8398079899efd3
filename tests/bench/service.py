"""What the service costs and how it holds: memory at rest, refusals, submissions, lists of many jobs, many clients that listen, and the
CPU time of a job through it against the same from the command line.

    python tests/bench/service.py [--jobs 10000] [--clients 1000] [--slow 500] [--pairs 3] [--write]

About four minutes, two of them the jobs' own. --write fills docs/results/service.md."""

import argparse
import http.client
import json
import pathlib
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from cells import PROGRAM, ROOT, write

sys.path.insert(0, str(ROOT / "tests/service"))
from service_server import Server, align_job, make_root, sample_job  # noqa: E402

PAGE = ROOT / "docs/results/service.md"


def quantiles(times):
    times = sorted(times)
    return [1e3 * times[min(len(times) - 1, int(q * len(times)))] for q in (0.5, 0.99)]


def memory_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def timed(connection, method, path, body=None):
    begin = time.monotonic()
    connection.request(method, path, body=body, headers={"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    content = answer.read()
    return time.monotonic() - begin, answer.status, content


def connect(server):
    address = urllib.parse.urlsplit(server.url)
    return http.client.HTTPConnection(address.hostname, address.port, timeout=20)


def many_jobs(server, count):
    """Submissions behind one that runs, and lists of all."""
    connection = connect(server)
    held = server.submit(align_job(iterations=100_000))["id"]
    server.until(held, "running")
    body = json.dumps(sample_job())
    submitted = [timed(connection, "POST", "/v1/jobs", body) for _ in range(count)]
    assert all(status == 201 for _, status, _ in submitted)
    listed, after, seen = [], "", 0
    while True:
        seconds, _, content = timed(connection, "GET", f"/v1/jobs?limit=100{after}")
        page = json.loads(content)
        listed.append(seconds)
        seen += len(page["data"])
        if not page["has_more"]:
            break
        after = "&after=" + page["last_id"]
    assert seen == count + 1
    return {"submit": [t for t, _, _ in submitted], "list": listed, "memory": memory_mib(server.process.pid), "held": held}


def listeners(server, identity, count):
    """/health while so many clients listen, a tenth of which never read."""
    address = urllib.parse.urlsplit(server.url)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reads, silent, got, ends = selectors.DefaultSelector(), [], [0], []
    for i in range(count):
        sock = socket.create_connection((address.hostname, address.port))
        sock.sendall(f"GET /v1/jobs/{identity}/events?stream=true HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        if i % 10:
            sock.setblocking(False)
            reads.register(sock, selectors.EVENT_READ)
        else:
            silent.append(sock)

    def drain():
        while not ends:
            for key, _ in reads.select(timeout=0.2):
                try:
                    got[0] += len(key.fileobj.recv(65536))
                except BlockingIOError:
                    pass

    thread = threading.Thread(target=drain)
    thread.start()
    connection, times = connect(server), []
    for _ in range(300):
        times.append(timed(connection, "GET", "/health")[0])
        time.sleep(0.02)
    memory = memory_mib(server.process.pid)
    ends.append(True)
    thread.join()
    return {"health": times, "memory": memory, "bytes": got[0]}


PIECE = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
# What a slow client sends at once, and then every second: heads and bodies that never end, answers that are never read.
SLOW = {"head": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b"x"),
        "body": (b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", b" "),
        "answer": (PIECE * 300, b"")}


def descriptors(server):
    return len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()))


def slow_clients(server, each, seconds):
    """/health and a list while so many clients of each kind are there at any time; and how long the last of them are suffered."""
    address = urllib.parse.urlsplit(server.url)
    idle, ends, opened = descriptors(server), [], [0]

    def one(kind):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((address.hostname, address.port))
        sock.sendall(SLOW[kind][0])
        opened[0] += 1
        return sock

    def attack():
        clients = [(kind, one(kind)) for kind in SLOW for _ in range(each)]
        while not ends:
            for i, (kind, sock) in enumerate(clients):
                try:
                    sock.send(SLOW[kind][1], socket.MSG_DONTWAIT)
                    if kind != "answer" and not sock.recv(4096, socket.MSG_DONTWAIT):
                        raise ConnectionError
                except BlockingIOError:
                    pass
                except OSError:
                    sock.close()
                    clients[i] = (kind, one(kind))
            time.sleep(1)
        kept.extend(clients)

    kept = []
    thread = threading.Thread(target=attack)
    thread.start()
    time.sleep(2)
    times, most, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for path in ("/health", "/v1/jobs?limit=20"):
            times.append(timed(connect(server), "GET", path)[0])
        most = max(most, descriptors(server))
        time.sleep(0.05)
    ends.append(True)
    thread.join()
    begin = time.monotonic()
    while descriptors(server) > idle + 5 and time.monotonic() - begin < 120:
        time.sleep(0.1)
    return {"times": times, "until_closed": time.monotonic() - begin, "most": most - idle, "opened": opened[0],
            "memory": memory_mib(server.process.pid)}


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cpu_seconds(start):
    """Of `start()`, which runs a process to its end, and of all that it started."""
    before = cpu_of_children()
    start()
    return cpu_of_children() - before


def through_the_service(folder, job):
    server = Server(folder).start()
    identity = server.submit(job)["id"]
    while (status := server.job(identity)["status"]) in ("queued", "running"):
        time.sleep(2)  # a page that is open asks as often
    assert status == "succeeded"
    server.stop()


def from_the_command_line(folder, job):
    (folder / "job.json").write_text(json.dumps({**job, "output": str(folder / "run")}))
    subprocess.run([PROGRAM, "run", str(folder / "job.json"), "--progress", "json"], cwd=folder / "root", check=True,
                   capture_output=True)


def overhead(pairs):
    """CPU seconds of pairs, in turn: service, command line."""
    job = align_job(iterations=150)
    found = []
    for _ in range(pairs):
        pair = []
        for way in (through_the_service, from_the_command_line):
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                make_root(folder)
                pair.append(cpu_seconds(lambda: way(folder, job)))
        found.append(pair)
    return found


def measure(arguments):
    rows = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        make_root(folder)
        server = Server(folder, "--max-pending", "1000000").start()
        rows.append(("memory of an idle server", f"{memory_mib(server.process.pid):.0f} MiB"))
        connection = connect(server)
        refused = []
        for body in ("[", "{}", json.dumps(sample_job(model={"path": "/etc"})), json.dumps(sample_job(sampler={"name": "flow_od"}))) * 100:
            seconds, status, _ = timed(connection, "POST", "/v1/jobs", body)
            assert status in (400, 403)
            refused.append(seconds)
        rows.append(("a refusal, p50, p99", "{:.1f}, {:.1f} ms".format(*quantiles(refused[8:]))))
        rows.append(("the same, with the checker's start", f"{1e3 * max(refused[:8]):.0f} ms"))
        jobs = many_jobs(server, arguments.jobs)
        rows.append((f"a submission, {arguments.jobs:,} one after the other, p50, p99", "{:.1f}, {:.1f} ms".format(*quantiles(jobs["submit"]))))
        rows.append(("a page of 100 of them, p50, p99", "{:.1f}, {:.1f} ms".format(*quantiles(jobs["list"]))))
        rows.append(("memory of the server with them", f"{jobs['memory']:.0f} MiB"))
        heard = listeners(server, jobs["held"], arguments.clients)
        rows.append((f"/health with {arguments.clients:,} listeners to a run, a tenth of which never read, p50, p99",
                     "{:.1f}, {:.1f} ms".format(*quantiles(heard["health"]))))
        rows.append(("memory of the server with them all", f"{heard['memory']:.0f} MiB"))
        slow = slow_clients(server, arguments.slow, arguments.seconds)
        rows.append((f"/health and a list while {arguments.slow} clients each never end their head, their body, or never read, for {arguments.seconds} s, p50, p99",
                     "{:.1f}, {:.1f} ms".format(*quantiles(slow["times"]))))
        rows.append((f"the last of them are closed after (most at once {slow['most']:,}, {slow['opened']:,} in all)", f"{slow['until_closed']:.0f} s"))
        rows.append(("memory of the server then", f"{slow['memory']:.0f} MiB"))
        server.post(f"/v1/jobs/{jobs['held']}/cancel")
        server.until(jobs["held"], "cancelled")
        server.kill()
    if arguments.pairs == 0:
        return rows
    pairs = overhead(arguments.pairs)
    ratios = [service / alone for service, alone in pairs]
    rows.append((f"CPU time of a job through the service, of that from the command line ({statistics.median(a for _, a in pairs):.0f} s), "
                 f"{len(pairs)} pairs in turn", ", ".join(f"{r:.3f}" for r in ratios)))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=500, help="slow clients of each kind")
    parser.add_argument("--seconds", type=int, default=60, help="that they are there")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    lines = ["| what | measured |", "|---|---|", *(f"| {what} | {value} |" for what, value in measure(arguments))]
    print("\n".join(lines))
    if arguments.write:
        write({"service": "\n".join(lines)}, PAGE)


if __name__ == "__main__":
    main()
