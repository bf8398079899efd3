"""A server for tests of the plugin `remote`, good and bad. The first part of the path says how it behaves: "/good", "/nan".
Scores come from the bytes of the frames, so that they are the same for the same picture."""

import email.utils
import http.server
import json
import math
import re
import ssl
import threading
import time
import zlib

MULTIPART = re.compile(rb'name="([^"]*)".*?\r\n\r\n', re.DOTALL)


def parts_of(body, content_type):
    boundary = b"\r\n--" + content_type.split("boundary=")[1].strip('"').encode()
    parts = {}
    for piece in (b"\r\n" + body).split(boundary)[1:-1]:
        name, data = MULTIPART.search(piece), piece.partition(b"\r\n\r\n")[2]
        parts[name[1].decode()] = data
    return parts


def score_of(data):
    return zlib.crc32(data) / 2**32


class State:
    """What was asked of one behaviour, and how it changes."""

    def __init__(self):
        self.requests, self.headers, self.asked, self.prompts = 0, [], {}, []
        self.again = 0      # questions asked before, which have another answer now
        self.last = None    # number of the request that is never answered
        self.reached = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        mode, path = self.path.lstrip("/").split("/", 1)
        if path == "health":
            return self.reply(200, {"status": "ok"})
        description = {"protocol": 1, "id": "test", "version": "1", "dimensions": [{"name": "crc"}], "inputs": ["frames", "prompts"],
                       "formats": ["png", "raw"], "max_batch": 1 if mode.startswith("one") else 4, "gradient": False}
        self.reply(200, {**description, **self.server.description})

    def do_POST(self):
        mode, path = self.path.lstrip("/").split("/", 1)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            state = self.server.states.setdefault(mode, State())
            number, state.requests = state.requests, state.requests + 1
            state.headers.append(dict(self.headers))
        if number == state.last:
            state.reached.set()
            self.server.ends.wait()
        elif not getattr(self, f"do_{mode}", lambda *_: False)(number, state):
            self.answer(path, body, mode, state)

    # Behaviours: true where nothing more is to be sent.

    def do_loris(self, *_):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            while not self.server.ends.wait(0.05):
                self.wfile.write(b" ")
        except OSError:
            pass
        self.close_connection = True
        return True

    def do_drop(self, *_):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.close_connection = True
        return True

    def do_onebusy(self, number, state):
        if number == 0:
            self.reply(429, {}, Retry_After="1")
        return number == 0

    def do_onebusydate(self, number, state):
        if number == 0:
            self.reply(429, {}, Retry_After=email.utils.formatdate(time.time() + 2, usegmt=True))
        return number == 0

    def do_flaky(self, number, state):
        if number < 3:
            self.reply(500, {"detail": "not yet"})
        return number < 3

    def do_big(self, *_):
        self.reply(200, b'{"values": "' + b"x" * (10 << 20) + b'"}')
        return True

    def do_redirect(self, *_):
        self.reply(307, b"", Location=self.server.elsewhere)
        return True

    def do_echo(self, *_):
        self.reply(400, {"detail": "no such key: " + self.headers["Authorization"]})
        return True

    def answer(self, path, body, mode, state):
        if path == "chat/completions":
            return self.chat(json.loads(body), state)
        if path == "compute":
            request = json.loads(body)
            return self.reply(200, {"rewards": [score_of(image.encode()) for image in request["image"]]})
        parts = parts_of(body, self.headers["Content-Type"])
        request = json.loads(parts["request"])
        with self.server.lock:
            state.prompts += request["prompts"]
        values = [[self.remembered(parts[entry["part"]], state)] for entry in request["frames"]]
        text = json.dumps({"request_id": request["request_id"], "values": values})
        bad = {"more": '"values": [[1],', "nan": '"values": [[NaN],', "null": '"values": [[null],', "huge": '"values": [[1e400],',
               "text": '"values": [["1"],'}
        if mode in bad:
            rest = json.dumps(values if mode == "more" else values[1:])[1:]
            text = text[:text.index('"values"')] + (bad[mode] + rest).replace(",]", "]") + "}"
        self.reply(200, text.encode())

    def remembered(self, data, state):
        """Whoever asks again hears something else: only a cache gives the same."""
        with self.server.lock:
            before = state.asked.get(data, 0)
            state.asked[data] = before + 1
            state.again += before > 0
        return score_of(data) if before == 0 or self.server.steady else -1000.0

    def chat(self, request, state):
        texts = [part["text"] for part in request["messages"][-1]["content"] if part["type"] == "text"]
        with self.server.lock:
            state.prompts += texts
        image = next(part for part in request["messages"][-1]["content"] if part["type"] == "image_url")["image_url"]["url"]
        value = self.remembered(image.encode(), state)
        p = min(max(value, 0.05), 0.95)
        top = [{"token": "Yes", "logprob": math.log(p)}, {"token": "No", "logprob": math.log(1 - p)}]
        content = "Yes" if "response_format" not in request else json.dumps({"a": 10 * p, "b": 10 - 10 * p})
        self.reply(200, {"choices": [{"message": {"content": content}, "logprobs": {"content": [{"token": "Yes", "top_logprobs": top}]}}],
                         "usage": {"prompt_tokens": 100, "completion_tokens": 1}})


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, block_on_close, request_queue_size = True, False, 128

    def __init__(self, certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https" if certificate else "http"
        self.lock, self.states, self.ends = threading.Lock(), {}, threading.Event()
        self.description, self.elsewhere, self.steady = {}, "", False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # clients that go away are what is tested

    def url(self, mode):
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{mode}"

    def state(self, mode):
        return self.states.setdefault(mode, State())

    def stop(self):
        self.ends.set()
        self.shutdown()
        self.server_close()
