"""Clients of the service for service.py: one that measures, many that listen, and some that are slow on purpose."""

import http.client
import json
import pathlib
import resource
import selectors
import socket
import threading
import time
import urllib.parse


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
