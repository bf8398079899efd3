"""Serves a Python function as a reward by thalweg-reward/1. Needs numpy, and what the function's file imports.

    python reward_server.py my_reward.py --function score --port 8000

The function is called by the names of its parameters: frames (float32 [B,F,3,H,W] in [0,1]: numpy, or a tensor where the
annotation says Tensor), images (the first frame of each: a tensor [B,3,H,W]), prompts, metadata, seeds, sample_ids,
group_ids, fps, step_index. It returns [B] or [B,K] numbers, None or NaN where there is none; flow_grpo's
`fn(images, prompts, metadata)` with `(scores, info)` is served as it is, and so is a function that makes one (`def f(device): return fn`).
`--gradient autograd` serves gradients of a function of tensors. The protocol is written down in plugins/remote/README.md."""

import argparse
import hashlib
import hmac
import http.server
import importlib.util
import inspect
import io
import json
import math
import os
import pathlib
import re
import secrets
import sys
import threading

import numpy

OF_ONE_SAMPLE = {"seeds", "sample_ids", "group_ids"}  # the same picture has another score with others of these
DATA = {"frames", "images", "prompts", "metadata", "seeds", "sample_ids", "group_ids", "fps", "step_index"}
MOST_BYTES = 1 << 30


class Refused(Exception):
    """The client's mistake."""


def load(path, name, device):
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(f"reward_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name)
    if not DATA & set(inspect.signature(function).parameters):
        function = function(**({"device": device} if "device" in inspect.signature(function).parameters else {}))
    return function, getattr(module, "dimensions", None)


def sha256_of(files):
    """Of one file its own; of more that of theirs, so that no two lists of files look alike."""
    digests = []
    for path in files:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digests.append(digest.hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def parts_of(content_type, body):
    """{name: bytes} of multipart/form-data."""
    boundary = re.search(r'boundary="?([^";]+)', content_type or "")
    if not (content_type or "").startswith("multipart/form-data") or not boundary:
        raise Refused("the body must be multipart/form-data")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Refused("the body is cut short")
    parts = {}
    for piece in pieces[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]*)"', head)
        if not name:
            raise Refused("a part has no name")
        parts[name[1].decode()] = data
    return parts


def pictures(entry, parts):
    """float32 [F,3,H,W]."""
    frames, channels, height, width = entry["shape"]
    if channels != 3 or min(frames, height, width) < 1 or frames * height * width > MOST_BYTES // 12:
        raise Refused("frames must be [F,3,H,W]")
    if entry["layout"] == "raw":
        data = numpy.frombuffer(parts[entry["part"]], entry["dtype"])
        if entry["dtype"] not in ("float32", "uint8") or data.size != frames * 3 * height * width:
            raise Refused("raw frames have not the size of their shape")
        data = data.reshape(frames, 3, height, width)
        return data if entry["dtype"] == "float32" else data.astype("float32") / 255
    from PIL import Image
    names = [entry["part"]] if frames == 1 else [f"{entry['part']}.{f}" for f in range(frames)]
    pixels = numpy.stack([numpy.asarray(Image.open(io.BytesIO(parts[name])).convert("RGB")) for name in names])
    if pixels.shape != (frames, height, width, 3):
        raise Refused("a picture has not the size of its shape")
    return pixels.transpose(0, 3, 1, 2).astype("float32") / 255


def finite(value):
    value = None if value is None else float(value)
    return value if value is not None and math.isfinite(value) else None


class Reward:
    def __init__(self, options):
        self.options, self.lock = options, threading.Lock()
        self.function, dimensions = load(options.file, options.function, options.device)
        self.dimensions = options.dimensions or dimensions or ["score"]
        self.parameters = inspect.signature(self.function).parameters
        self.sha256 = sha256_of([options.file, *options.weights])  # part of the client's cache

    def description(self):
        formats = ["raw"]
        if importlib.util.find_spec("PIL"):
            formats.insert(0, "png")
        return {"protocol": 1, "id": self.options.id or self.options.file.stem, "version": self.options.version,
                "dimensions": [{"name": name} for name in self.dimensions], "inputs": ["frames", "prompts", "metadata"],
                "formats": formats, "max_batch": self.options.max_batch, "gradient": self.options.gradient == "autograd",
                "group": False, "confidence": False, "weights_sha256": self.sha256,
                "nondeterministic": bool(OF_ONE_SAMPLE & set(self.parameters))}

    def data(self, request, parts):
        batch = len(request["prompts"])
        for name in ("sample_ids", "seeds", "group_ids", "metadata", "frames"):
            if len(request[name]) != batch:
                raise Refused(f'"{name}" must have one entry a prompt')
        frames = numpy.stack([pictures(entry, parts) for entry in request["frames"]])
        lists = ("prompts", "metadata", "seeds", "sample_ids", "group_ids", "fps", "step_index")
        return {"frames": frames, **{name: request[name] for name in lists}}

    def call(self, data):
        given = {}
        for name, parameter in self.parameters.items():
            if name == "images":
                given[name] = tensor(data["frames"])[:, 0]
            elif name == "frames":
                given[name] = tensor(data["frames"]) if "Tensor" in str(parameter.annotation) else data["frames"]
            elif name == "only_strict":
                given[name] = False
            elif name in data:
                given[name] = data[name]
        result = self.function(**given)
        return result[0] if isinstance(result, tuple) else result

    def columns(self, result, batch):
        columns = [result[name] for name in self.dimensions] if isinstance(result, dict) else None
        if columns is None:
            rows = result.tolist() if hasattr(result, "tolist") else list(result)
            rows = [row if isinstance(row, (list, tuple)) else [row] for row in rows]
            columns = list(zip(*rows))
        columns = [column.tolist() if hasattr(column, "tolist") else list(column) for column in columns]
        if len(columns) != len(self.dimensions) or any(len(column) != batch for column in columns):
            raise ValueError(f"the function must return {batch} rows of {len(self.dimensions)} values")
        return columns

    def score(self, request, parts):
        data = self.data(request, parts)
        with self.lock:
            columns = self.columns(self.call(data), len(data["prompts"]))
        return {"request_id": request["request_id"], "model": self.options.version,
                "values": [[finite(value) for value in row] for row in zip(*columns)]}

    def vjp(self, request, parts):
        import torch
        data = self.data(request, parts)
        batch, count = len(data["prompts"]), len(self.dimensions)
        cotangent = numpy.frombuffer(parts["cotangent"], "float32").reshape(batch, count)
        frames = torch.from_numpy(data["frames"].copy()).requires_grad_()
        with self.lock, torch.enable_grad():
            result = self.call({**data, "frames": frames})
            columns = [result[name] for name in self.dimensions] if isinstance(result, dict) else [result]
            values = torch.cat([column.reshape(batch, -1) for column in columns], 1)
            used = torch.from_numpy(cotangent != 0)
            torch.where(used, values * torch.from_numpy(cotangent.copy()), 0.0).sum().backward()
        return [gradient.astype("<f4").tobytes() for gradient in frames.grad.numpy()]


def tensor(value):
    import torch
    return value if isinstance(value, torch.Tensor) else torch.from_numpy(value)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, reward, key = "HTTP/1.1", None, ""

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def problem(self, status, detail):
        self.close_connection = True
        self.reply(status, {"type": "about:blank", "status": status, "detail": detail}, "application/problem+json")

    def welcome(self):
        if self.key and not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.key}"):
            self.problem(401, "the key is missing or wrong")
            return False
        return True

    def do_GET(self):
        if self.welcome():
            if self.path == "/v1/reward":
                self.reply(200, self.reward.description())
            else:
                self.problem(404, "there is GET /v1/reward, POST /v1/reward/score and POST /v1/reward/vjp")

    def do_POST(self):
        if not self.welcome():
            return
        size = int(self.headers.get("Content-Length") or -1)
        if not 0 <= size <= MOST_BYTES:
            return self.problem(413 if size > 0 else 411, "a body of at most 1 GiB, with its length")
        try:
            parts = parts_of(self.headers.get("Content-Type"), self.rfile.read(size))
            request = json.loads(parts["request"])
            if self.path == "/v1/reward/score":
                self.reply(200, self.reward.score(request, parts))
            elif self.path == "/v1/reward/vjp" and self.reward.options.gradient == "autograd":
                boundary = secrets.token_hex(16)
                body = b"".join(f'--{boundary}\r\nContent-Disposition: form-data; name="g{i}"\r\n\r\n'.encode() + data + b"\r\n"
                                for i, data in enumerate(self.reward.vjp(request, parts)))
                self.reply(200, body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")
            else:
                self.problem(404, "there is no such thing here")
        except (Refused, KeyError, ValueError, TypeError) as error:
            self.problem(422, f"{type(error).__name__}: {error}")
        except Exception as error:  # the function's own: the client masks these samples
            self.problem(400, f"the reward raised {type(error).__name__}: {error}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--function", default="score")
    parser.add_argument("--dimensions", nargs="*")
    parser.add_argument("--weights", nargs="*", type=pathlib.Path, default=[], metavar="FILE",
                        help="what the function loads: where one changes, clients ask again")
    parser.add_argument("--gradient", choices=["none", "autograd"], default="none")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--id", default="")
    parser.add_argument("--version", default="1")
    parser.add_argument("--max-batch", type=int, default=16)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: a free one; it is printed")
    parser.add_argument("--api-key-env", help="variable of the environment whose key clients must send")
    options = parser.parse_args()
    Handler.reward = Reward(options)
    Handler.key = os.environ[options.api_key_env] if options.api_key_env else ""
    with http.server.ThreadingHTTPServer((options.host, options.port), Handler) as server:
        print(f"serving {options.file} at http://{options.host}:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
