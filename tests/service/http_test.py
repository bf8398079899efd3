"""The protocol at its edges: keys, names, other sites, sizes, slow clients, broken requests."""

import http.client
import json
import pathlib
import re
import socket
import time
import urllib.parse

import pytest

from service_server import KEY, sample_job


def connect(server):
    address = urllib.parse.urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def exchange(server, request, seconds=30):
    """All that the server answers to these bytes until it closes, or until so long nothing comes."""
    with connect(server) as sock:
        sock.sendall(request)
        sock.settimeout(seconds)
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


def all_operations(server):
    document = server.get("/openapi.json")[1]
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield verb.upper(), re.sub(r"\{[^}]*\}", "x", path), operation


def test_every_route_needs_a_key_but_those_that_say_so(guarded):
    guarded.key = None
    tried = 0
    for verb, path, operation in all_operations(guarded):
        is_open = operation.get("security") == []
        for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}, {"Authorization": f"Basic {KEY}"},
                        {"Authorization": "Bearer " + "x" * 8000}):
            got = guarded.request(verb, path, {} if verb == "POST" else None, headers=headers, expect=None, raw=True)[0]
            assert (got not in (401, 403)) if is_open else got == 401, (verb, path, headers, got)
            tried += 1
        assert is_open or guarded.request(verb, path + f"?key={KEY}", headers={}, expect=None, raw=True)[0] == 401
    assert tried > 80
    assert {p for v, p, o in all_operations(guarded) if o.get("security") == []} == \
        {"/", "/chart.js", "/client.js", "/form.js", "/page.css", "/page.js", "/health", "/ready", "/openapi.json"}
    assert KEY not in (guarded.folder / "serve.log").read_text()
    command = pathlib.Path(f"/proc/{guarded.process.pid}/cmdline").read_text()
    assert KEY not in command and KEY not in pathlib.Path(f"/proc/{guarded.process.pid}/environ").read_text()


def test_a_key_file_that_others_may_read_is_refused(make_server, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    keys.chmod(0o644)
    server = make_server("--api-key-file", str(keys), start=False)
    with pytest.raises(AssertionError, match="others may read"):
        server.start()
    keys.chmod(0o600)
    keys.write_text("short\n")
    with pytest.raises(AssertionError, match="16"):
        server.start()


def test_other_machines_need_a_key(make_server):
    server = make_server("--host", "0.0.0.0", start=False)
    with pytest.raises(AssertionError, match="api-key-file"):
        server.start()


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Origin": "http://evil.example"},
                                     {"Origin": "null"}])
def test_pages_of_other_sites_and_other_names_are_refused(server, headers):
    got, body = server.post("/v1/jobs", sample_job(), headers=headers, expect=403)
    assert body["error"]["code"] in ("unknown_host", "foreign_origin")
    assert not server.get("/v1/jobs")[1]["data"]


def test_only_json_is_json(server):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert server.post("/v1/jobs", sample_job(), headers={"Content-Type": kind}, expect=415)[1]["error"]["code"] == "not_json"


BAD_BODIES = [b"", b"[", b"null", b"[]", b"\"x\"", b"{\"a\": 1, \"a\": 2}", b"[" * 100_000, b"{\"job\": NaN}", b"{\"job\": 1e400}",
              b"\xff\xfe{}", b"{\"job\": \"sample\", \"seed\": -1}", b"{\"job\": \"sample\", \"seed\": 18446744073709551616}",
              b"{\"job\": {\"job\": \"sample\"}, \"priority\": 1e9}", b"{\"job\": {}, \"metadata\": {\"a\": 1}}",
              b"{\"job\": {}, \"colour\": 1}"]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_bodies_are_the_clients_fault(server, body):
    for path in ("/v1/jobs", "/v1/fine_tuning/jobs", "/v1/plan", "/v1/validate"):
        got, answer = server.post(path, body, expect=(400, 415))
        assert set(answer["error"]) == {"message", "type", "param", "code"} and answer["error"]["message"]


def test_sizes_are_kept_to(server):
    big = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert status(exchange(server, big + b"Content-Length: 5000000\r\n\r\n")) == 413
    chunked = big + b"Transfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + b" " * 0x100000 + b"\r\n") * 5
    assert status(exchange(server, chunked)) == 413
    assert status(exchange(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")) == 431
    assert status(exchange(server, b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n")) == 431
    for request in (b"\x16\x03\x01\x02\x00", b"GET /health\r\n\r\n", b"GET  /health HTTP/1.1\r\n\r\n",
                    b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                    big + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n"):
        assert status(exchange(server, request, seconds=20)) in (400, 413, 415), request
    assert server.get("/health")[1] == {"status": "ok"}


@pytest.mark.parametrize("target", ["/../etc/passwd", "/%2e%2e/x", "/v1/jobs/%2e%2e%2f", "/v1/jobs/%00", "/v1/jobs/%zz", "/v1/jobs/%ff",
                                    "/v1/jobs?limit=1&limit=2", "http://localhost/health"])
def test_bad_targets(server, target):
    answer = exchange(server, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert status(answer) in (400, 404), answer


def test_unknown_queries_paths_and_verbs(server):
    assert server.get("/v1/jobs?colour=red", expect=400)[1]["error"]["param"] == "colour"
    assert server.get("/v1/jobs?limit=0", expect=400)[1]["error"]["param"] == "limit"
    assert server.get("/v1/nothing", expect=404)[1]["error"]["code"] == "not_found"
    assert server.request("DELETE", "/v1/jobs", expect=405)[1]["error"]["code"] == "method_not_allowed"
    assert server.get("/v1/jobs?after=none", expect=404)[1]["error"]["code"] == "no_such_job"


def test_one_connection_serves_many_requests_and_heads(server):
    address = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    for _ in range(50):
        connection.request("GET", "/health")
        assert json.loads(connection.getresponse().read()) == {"status": "ok"}
    connection.request("HEAD", "/openapi.json")
    answer = connection.getresponse()
    assert answer.read() == b"" and int(answer.getheader("Content-Length")) > 1000
    connection.request("POST", "/v1/jobs", body=b"{}", headers={"Content-Type": "application/json"})
    assert connection.getresponse().read()
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200


def test_slow_clients_are_closed_and_harm_nobody(server):
    started = time.monotonic()
    slow = [connect(server) for _ in range(100)]
    for i, sock in enumerate(slow):
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: loc" if i % 2 else
                     b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    times = []
    for _ in range(50):
        begin = time.monotonic()
        server.get("/health")
        times.append(time.monotonic() - begin)
    assert sorted(times)[-2] < 1.0, times  # 0.2 s on a quiet machine
    for sock in slow:
        sock.settimeout(40)
        while sock.recv(65536):
            pass
        sock.close()
    assert time.monotonic() - started < 45  # 15 s on a quiet machine


def test_ranges_of_files(server):
    job = server.submit(sample_job())
    server.until(job["id"], "succeeded", "failed")
    files = {f["path"]: f for f in server.get(f"/v1/jobs/{job['id']}/files")[1]["data"]}
    picture = next(f for path, f in files.items() if path.endswith(".png"))
    whole = server.get(picture["url"], raw=True)[1]
    assert len(whole) == picture["bytes"] and whole.startswith(b"\x89PNG") and picture["type"] == "image/png"
    for text, wanted in (("bytes=0-3", whole[:4]), ("bytes=5-", whole[5:]), ("bytes=-7", whole[-7:]), ("bytes=4-99999999", whole[4:])):
        assert server.get(picture["url"], headers={"Range": text}, expect=206, raw=True)[1] == wanted
    server.get(picture["url"], headers={"Range": f"bytes={len(whole)}-"}, expect=416, raw=True)
    for odd in ("bytes=3-1", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4"):
        assert server.get(picture["url"], headers={"Range": odd}, raw=True)[1] == whole
    for away in ("../job.json", "..%2fjob.json", "%2fetc%2fpasswd", "samples", "job.json/x"):
        assert server.get(f"/v1/jobs/{job['id']}/files/{away}", expect=None, raw=True)[0] in (400, 404), away


def test_the_unix_socket_is_for_this_user(make_server, tmp_path):
    path = tmp_path / "socket"
    make_server("--socket", str(path))
    assert path.stat().st_mode & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
