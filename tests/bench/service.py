"""What the service costs and how it holds: memory at rest, refusals, submissions, lists of many jobs, many clients that listen, all of
the jobs cancelled or done in their order, and the CPU time of a job through it against the same from the command line.

    python tests/bench/service.py [--jobs 10000] [--drained 500] [--clients 1000] [--slow 500] [--pairs 3] [--write]

About fifteen minutes, most of them the jobs' own. --write fills docs/results/service.md."""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from cells import PROGRAM, ROOT, write
from service_clients import connect, listeners, memory_mib, quantiles, slow_clients, timed

sys.path.insert(0, str(ROOT / "tests/service"))
from service_server import Server, align_job, make_root, sample_job  # noqa: E402

PAGE = ROOT / "docs/results/service.md"
PRIORITIES = 3  # of the many jobs, in turn
WORKERS = 2  # that race for them


def many_jobs(server, count):
    """Submissions behind one for each worker that runs, and lists of all."""
    connection = connect(server)
    held = [server.submit(align_job(iterations=100_000))["id"] for _ in range(WORKERS)]
    for identity in held:
        server.until(identity, "running")
    bodies = [json.dumps({"job": sample_job(), "priority": priority}) for priority in range(PRIORITIES)]
    submitted = [timed(connection, "POST", "/v1/jobs", bodies[i % PRIORITIES]) for i in range(count)]
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
    assert seen == count + WORKERS
    return {"submit": [t for t, _, _ in submitted], "list": listed, "memory": memory_mib(server.process.pid), "held": held,
            "ids": [json.loads(content)["id"] for _, _, content in submitted]}


def state_of(server, identity):
    return server.job(identity)["status"]


def ended(server, jobs, drained):
    """All of the jobs are cancelled but so many, spread over them, which are done after the one before them: by priority, then in
    the order that they came in. Seconds of each cancellation; jobs that are in another state than they should be."""
    connection, ids = connect(server), jobs["ids"]
    kept = dict.fromkeys(ids[(i * len(ids)) // drained] for i in range(drained))
    times = [timed(connection, "POST", f"/v1/jobs/{identity}/cancel")[0] for identity in ids if identity not in kept]
    for identity in jobs["held"]:
        server.post(f"/v1/jobs/{identity}/cancel")
    priority = {identity: i % PRIORITIES for i, identity in enumerate(ids)}
    expected = sorted(kept, key=lambda identity: -priority[identity])
    begin = time.monotonic()
    server.wait(lambda: state_of(server, expected[-1]) in ("succeeded", "failed"), seconds=3600)
    drained_s = time.monotonic() - begin
    for identity in expected[-WORKERS:]:
        server.wait(lambda: state_of(server, identity) not in ("queued", "running"))
    starts = {identity: [int(e["id"].split("-")[1]) for e in server.events(identity) if e["data"].get("status") == "running"]
              for identity in kept}
    assert all(len(numbers) == 1 for numbers in starts.values()), "a job began more than once"
    assert sorted(kept, key=starts.get) == expected, "jobs began in another order than by priority, then first come"
    wrong = sum(state_of(server, identity) != ("succeeded" if identity in kept else "cancelled") for identity in ids)
    return {"cancel": times, "seconds": drained_s / drained, "wrong": wrong}


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cpu_seconds(start):
    """Of `start()`, which runs a process to its end, and of all that it started."""
    before = cpu_of_children()
    start()
    return cpu_of_children() - before


def own_cpu_seconds(pid):
    """Of a process and of those that it has started and that are still there."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return seconds + sum(own_cpu_seconds(child) for child in children)


def through_the_service(folder, job, own):
    """`own` is given the CPU seconds of the server and of its checker: of what is there beside the run."""
    server = Server(folder).start()
    identity = server.submit(job)["id"]
    while (status := state_of(server, identity)) in ("queued", "running"):
        time.sleep(2)  # a page that is open asks as often
    assert status == "succeeded"
    own.append(own_cpu_seconds(server.process.pid))
    server.stop()


def from_the_command_line(folder, job, _):
    (folder / "job.json").write_text(json.dumps({**job, "output": str(folder / "run")}))
    subprocess.run([PROGRAM, "run", str(folder / "job.json"), "--progress", "json"], cwd=folder / "root", check=True,
                   capture_output=True)


def overhead(pairs):
    """CPU seconds of pairs, in turn: service, command line; and those of the service that are not its run's."""
    job = align_job(iterations=150)
    found, own = [], []
    for _ in range(pairs):
        pair = []
        for way in (through_the_service, from_the_command_line):
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                make_root(folder)
                pair.append(cpu_seconds(lambda: way(folder, job, own)))
        found.append(pair)
    return found, own


def measure(arguments):
    rows = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        make_root(folder)
        server = Server(folder, "--max-pending", "1000000", "--workers", str(WORKERS)).start()
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
        heard = listeners(server, jobs["held"][0], arguments.clients)
        rows.append((f"/health with {arguments.clients:,} listeners to a run, a tenth of which never read, p50, p99",
                     "{:.1f}, {:.1f} ms".format(*quantiles(heard["health"]))))
        rows.append(("memory of the server with them all", f"{heard['memory']:.0f} MiB"))
        slow = slow_clients(server, arguments.slow, arguments.seconds)
        rows.append((f"/health and a list while {arguments.slow} clients each never end their head, their body, or never read, for {arguments.seconds} s, p50, p99",
                     "{:.1f}, {:.1f} ms".format(*quantiles(slow["times"]))))
        rows.append((f"the last of them are closed after (most at once {slow['most']:,}, {slow['opened']:,} in all)", f"{slow['until_closed']:.0f} s"))
        rows.append(("memory of the server then", f"{slow['memory']:.0f} MiB"))
        if arguments.drained:
            end = ended(server, jobs, arguments.drained)
            rows.append((f"all but {arguments.drained} of them cancelled, one after the other, p50, p99",
                         "{:.1f}, {:.1f} ms".format(*quantiles(end["cancel"]))))
            rows.append((f"those done by {WORKERS} workers, each once, in the order of their priority and then of their coming, a job", f"{1e3 * end['seconds']:.0f} ms"))
            rows.append((f"of {arguments.jobs:,} lost or in another state than they should be", f"{end['wrong']}"))
        server.kill()
    if arguments.pairs == 0:
        return rows
    pairs, own = overhead(arguments.pairs)
    ratios = [service / alone for service, alone in pairs]
    rows.append((f"CPU time of a job through the service, of that from the command line ({statistics.median(a for _, a in pairs):.0f} s), "
                 f"{len(pairs)} pairs in turn", ", ".join(f"{r:.3f}" for r in ratios)))
    rows.append(("CPU time of the server and its checker alone, of the job's, each time",
                 ", ".join(f"{100 * seconds / alone:.2f} %" for seconds, (_, alone) in zip(own, pairs))))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--drained", type=int, default=500, help="jobs of these that are done, not cancelled")
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
