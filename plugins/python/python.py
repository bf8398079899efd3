"""A function in a Python file of yours, in a process of its own. Configuration: {"file", "function", "interpreter", ...}: see plugins/python/README.md.

Only the standard library and numpy are needed. The program is at descriptor 3 (messages: eight bytes of length, lowest
first, then JSON) and its tensors are in the memory of descriptor 4 (dense float32, by offset and shape). README.md beside
this file says what a function may look like and what is on the wire."""

import ast
import collections
import importlib.util
import inspect
import json
import mmap
import os
import pathlib
import select
import socket
import struct
import sys
import threading
import traceback

SOCKET, MEMORY = 3, 4
KEYS = ("file", "function", "interpreter", "dimensions", "gradient", "arguments", "device", "name")
TENSORS = {"frames": "frames", "images": "frames", "latents": "latents", "sigmas": "latents", "reference": "reference",
           "mask": "mask"}
LISTS = {"prompts", "metadata", "seeds", "sample_ids", "group_ids"}
NUMBERS = {"fps", "step_index", "num_steps"}
KNOWN = {*TENSORS, *LISTS, *NUMBERS, "only_strict", "cotangent"}


class Refused(Exception):
    """A mistake of the job's: the key of the configuration, and what is wrong."""

    def __init__(self, key, text):
        super().__init__(text)
        self.place = f"/config/{key}" if key else "/config"


def choose(config, key, kind, default, what):
    value = config.get(key, default)
    if not isinstance(value, kind):
        raise Refused(key, f"must be {what}")
    return value


class Options:
    def __init__(self, config):
        for key in config:
            if key not in KEYS:
                raise Refused(key, f"is not known; the keys are {', '.join(KEYS)}")
        self.file = pathlib.Path(choose(config, "file", str, "", "the path of a Python file"))
        if not self.file.is_file():
            raise Refused("file", f'there is no file "{self.file}" (paths are relative to the working directory)')
        self.function = choose(config, "function", str, "score", "the name of a function")
        self.dimensions = choose(config, "dimensions", list, [], "a list of names")
        self.gradient = choose(config, "gradient", str, "", '"autograd", or the name of a function')
        self.arguments = choose(config, "arguments", dict, {}, "an object")
        self.device = choose(config, "device", str, "cpu", "a device")
        self.name = choose(config, "name", str, self.file.stem, "a text")


def parameters_of(function):
    """{name: (annotation as text, whether it may be left out)}, of those that can be given by name."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        annotation = "" if parameter.annotation is parameter.empty else str(parameter.annotation)
        found[name] = (annotation, parameter.default is not parameter.empty)
    return found


def takes_data(names):
    return any(name in TENSORS or name in LISTS for name in names)


def inputs_of(parameters):
    """What the program has to send, and what it may; of parameters as parameters_of() has them."""
    required = {TENSORS[name] for name in parameters if name in TENSORS and name not in ("reference", "mask")}
    required |= {"prompts"} if not parameters.get("prompts", ("", True))[1] else set()
    optional = {name for name in parameters if name in ("prompts", "metadata", "reference", "mask")}
    return sorted(required), sorted(optional - required)


def load(options):
    """The user's module, its own folder among those that it imports from."""
    sys.path.insert(0, str(options.file.parent.resolve()))
    name = f"reward_{options.file.stem}"  # not that of a library that it imports
    spec = importlib.util.spec_from_file_location(name, options.file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def named(module, options, key, name):
    function = getattr(module, name, None)
    if not callable(function):
        raise Refused(key, f'"{options.file}" has no function "{name}"')
    return function


def made(function, options):
    """A function that takes no data makes the one that does, as flow_grpo's do: `def pickscore(device): ... return fn`."""
    names = parameters_of(function)
    if takes_data(names):
        if options.arguments:
            raise Refused("arguments", "are for a function that makes the one that scores; this one scores itself")
        return function
    given = {**({"device": options.device} if "device" in names else {}), **options.arguments}
    function = function(**given)
    if not callable(function) or not takes_data(parameters_of(function)):
        raise Refused("function", "takes neither frames nor prompts, and makes no function that does")
    return function


class Function:
    """One that is called with what its parameters ask for by name, in the form that their annotations ask for."""

    def __init__(self, function, key):
        self.function, self.parameters = function, parameters_of(function)
        for name, (_, may_be_absent) in self.parameters.items():
            if name not in KNOWN and not may_be_absent:
                raise Refused(key, f'its argument "{name}" is not one of {", ".join(sorted(KNOWN))}')
        # flow_grpo: fn(images, prompts, metadata), pictures as a tensor [B,3,H,W] in [0,1].
        self.is_flow_grpo = list(self.parameters)[:3] == ["images", "prompts", "metadata"]

    def __call__(self, data):
        given = {}
        for name, (annotation, may_be_absent) in self.parameters.items():
            if name == "only_strict":
                given[name] = False
            elif name in KNOWN:
                value = self.form(name, annotation, data)
                if value is not None or not may_be_absent:
                    given[name] = value
        return self.function(**given)

    def form(self, name, annotation, data):
        value = data.get(TENSORS[name] if name == "images" else name)
        if value is None or (name not in TENSORS and name != "cotangent"):
            return value
        wants_torch = "torch" in annotation or "Tensor" in annotation
        if name != "images":
            return as_torch(value) if wants_torch else as_numpy(value)
        if wants_torch or (not annotation and self.is_flow_grpo):
            return as_torch(value)[:, 0]
        pictures = (as_numpy(value)[:, 0].clip(0.0, 1.0) * 255.0).round().astype("uint8").transpose(0, 2, 3, 1)
        if "Image" in annotation or "PIL" in annotation:
            from PIL import Image
            return [Image.fromarray(picture) for picture in pictures]
        return pictures


def as_torch(value):
    import torch
    return value if isinstance(value, torch.Tensor) else torch.from_numpy(value)


def as_numpy(value):
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def number(value):
    """None is NaN; a text that is no number is the reason why there is none."""
    try:
        return numpy.nan if value is None else float(as_numpy(value))
    except ValueError:
        if isinstance(value, str):
            return numpy.nan
        raise


def column(values, batch, what, notes):
    """float32 [batch]; the texts among them are added to `notes`, by sample."""
    values = as_numpy(values)
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, (list, tuple)) or len(values) != batch:
        raise ValueError(f"{what} must have one value a sample, {batch}")
    flat = [value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value for value in values]
    numbers = numpy.array([number(value) for value in flat], numpy.float32)
    notes.append({b: value for b, value in enumerate(flat) if isinstance(value, str) and not numpy.isfinite(numbers[b])})
    return numbers


def scores(result):
    """What was returned, without what flow_grpo's functions say beside it."""
    return result[0] if isinstance(result, tuple) and result and not isinstance(result[0], (int, float)) else result


def table(result, dimensions, batch):
    """float32 [batch, dimensions] of what the function returned, and of each dimension why samples are not scored."""
    notes = []
    columns = columns_of(result, dimensions, batch, notes)
    return numpy.stack(columns, 1), notes


def columns_of(result, dimensions, batch, notes):
    result = scores(result)
    if isinstance(result, dict):
        absent = [name for name in dimensions if name not in result]
        if absent:
            raise ValueError(f'returned no "{absent[0]}", but {", ".join(map(repr, result))}: name the ones to score in '
                             '"dimensions" of the configuration or of the file')
        return [column(result[name], batch, f'"{name}"', notes) for name in dimensions]
    if len(dimensions) == 1:
        return [column(result, batch, "what is returned", notes)]
    rows = [as_numpy(row) for row in as_numpy(result)]
    if len(rows) != batch or any(len(row) != len(dimensions) for row in rows):
        raise ValueError(f"must return [{batch}, {len(dimensions)}] values, or an object of {len(dimensions)} lists")
    return [column([row[k] for row in rows], batch, name, notes) for k, name in enumerate(dimensions)]


class Reward:
    def __init__(self, options):
        self.options = options
        module = load(options)
        self.score = Function(made(named(module, options, "function", options.function), options), "function")
        self.dimensions = options.dimensions or list(getattr(module, "dimensions", ["score"]))
        if not self.dimensions or any(not isinstance(name, str) for name in self.dimensions):
            raise Refused("dimensions", "must be names, at least one")
        self.compares = getattr(module, "compares_groups", False)  # True, or the fewest samples that it compares
        if type(self.compares) not in (bool, int) or self.compares < 0:
            raise Refused("file", "compares_groups must be True, or the fewest samples of a group that it compares")
        self.gradient = None
        if options.gradient not in ("", "autograd"):
            self.gradient = Function(named(module, options, "gradient", options.gradient), "gradient")
        if options.gradient and "frames" not in self.score.parameters and "images" not in self.score.parameters:
            raise Refused("gradient", "is of frames, which the function does not take")

    def info(self):
        least = max(2, int(self.compares)) if self.compares else 0
        return {**info(self.options, self.score.parameters, self.dimensions), "least_of_group": least}

    def values(self, data, batch):
        values, notes = table(self.score(data), self.dimensions, batch)
        reasons = collections.Counter()
        for k, name in enumerate(self.dimensions):
            for b in numpy.flatnonzero(~numpy.isfinite(values[:, k])):
                what = "None or NaN" if numpy.isnan(values[b, k]) else "an infinite value"
                reasons[k, f'did not score "{name}": {notes[k][b]}' if b in notes[k] else f'returned {what} for "{name}"'] += 1
        return values, [{"reason": reason, "samples": count, "dimension": k} for (k, reason), count in reasons.items()]

    def frames_gradient(self, data, cotangent):
        if self.gradient:
            return as_numpy(self.gradient({**data, "cotangent": cotangent}))
        import torch
        with torch.enable_grad():
            frames = torch.from_numpy(data["frames"].copy()).requires_grad_()
            result = scores(self.score({**data, "frames": frames}))
            columns = [result[name] for name in self.dimensions] if isinstance(result, dict) else [result]
            values = torch.stack([value.reshape(len(frames), -1) for value in columns], 1).reshape(len(frames), -1)
            usable = torch.from_numpy(cotangent != 0)
            torch.where(usable, values * torch.from_numpy(cotangent), 0.0).sum().backward()
        return frames.grad.numpy()


def info(options, parameters, dimensions):
    required, optional = inputs_of(parameters)
    return {"name": options.name, "dimensions": dimensions, "required": required, "optional": optional,
            "gradient_of": "frames" if options.gradient else "none", "deterministic": True}


def glance(options):
    """The same without running the user's file: parameters as they are written."""
    parameters = {"frames": ("", False), "prompts": ("", True)}  # of a function that another one makes
    try:
        tree = ast.parse(options.file.read_text())
    except (SyntaxError, UnicodeDecodeError) as error:
        raise Refused("file", f"is no Python: {error}") from error
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == options.function:
            places, last = node.args.posonlyargs + node.args.args, len(node.args.defaults)
            written = {argument.arg: ("", i >= len(places) - last) for i, argument in enumerate(places)}
            written |= {argument.arg: ("", value is not None) for argument, value in zip(node.args.kwonlyargs, node.args.kw_defaults)}
            parameters = written if takes_data(written) else parameters
    return info(options, parameters, options.dimensions)


def reason(error, file):
    """"raised ValueError: text (my_reward.py, line 7)": the last line of the user's own file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if pathlib.Path(frame.filename).resolve() == file.resolve()]
    where = f" ({file.name}, line {lines[-1]})" if lines else ""
    return f"raised {type(error).__name__}: {error}{where}"


class Server:
    def __init__(self):
        self.socket = socket.socket(fileno=SOCKET)
        self.memory, self.size, self.reward = None, 0, None

    def receive(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(min(size - len(data), 1 << 20))
            if not part:
                os._exit(0)  # the program is gone
            data += part
        return bytes(data)

    def send(self, message):
        text = json.dumps(message).encode()
        self.socket.sendall(struct.pack("<Q", len(text)) + text)

    def tensor(self, place):
        return numpy.ndarray(place["shape"], numpy.float32, self.memory, place["offset"])

    def data(self, message):
        data = {name: self.tensor(place) for name, place in message["tensors"].items()}
        given, batch = message["input"], message["input"]["batch"]
        data["prompts"] = given["prompts"] or [""] * batch
        data["metadata"] = [json.loads(text) for text in given["metadata"]] or [{} for _ in range(batch)]
        return {**{name: given[name] for name in (LISTS | NUMBERS) - {"prompts", "metadata"}}, **data}

    def open(self, message):
        # A float is a float in every reward; libraries that thread by themselves follow OMP_NUM_THREADS.
        self.reward = Reward(Options(message["config"]))
        return {"info": self.reward.info()}

    def call(self, message):
        if message["memory"] != self.size:
            self.memory, self.size = mmap.mmap(MEMORY, message["memory"]), message["memory"]
        batch = message["input"]["batch"]
        try:
            data = self.data(message)
            if message["op"] == "score":
                values, failures = self.reward.values(data, batch)
                self.tensor(message["values"])[...] = values
                return {"failures": failures}
            cotangent = data.pop("cotangent")
            self.tensor(message["gradients"]["frames"])[...] = self.reward.frames_gradient(data, cotangent)
            return {"failures": []}
        except Exception as error:
            traceback.print_exc()
            begin = "" if message["op"] == "score" else "its gradient failed: "
            return {"failures": [{"reason": begin + reason(error, self.reward.options.file), "samples": batch}]}

    def answer(self, message):
        try:
            if message["op"] == "inspect":
                return {"info": glance(Options(message["config"]))}
            return self.open(message) if message["op"] == "open" else self.call(message)
        except Refused as error:
            return {"error": [message["place"] + error.place, str(error)]}
        except BaseException as error:
            traceback.print_exc()
            file = pathlib.Path(str(message["config"].get("file", "")))
            return {"error": [message["place"] + "/config/file", reason(error, file)]}

    def run(self):
        while True:
            message = json.loads(self.receive(*struct.unpack("<Q", self.receive(8))))
            if message["op"] == "close":
                return
            self.send(self.answer(message))


def places():
    """Where this interpreter has its files. Asked with -I -S: nothing but the interpreter itself runs then."""
    import site
    above = pathlib.Path(sys.executable).parent.parent
    folders = [sys.base_prefix, sys.base_exec_prefix]
    folders += [str(above)] if (above / "pyvenv.cfg").is_file() else []
    packages = [pathlib.Path(path) for path in (*site.getsitepackages([str(above), sys.base_prefix]), site.getusersitepackages())]
    folders += [str(path) for path in packages if path.is_dir()]
    for folder in packages:  # of what is installed to be edited
        for file in sorted(folder.glob("*.pth")):
            lines = [line.strip() for line in file.read_text(errors="replace").splitlines()]
            folders += [str(folder / line) for line in lines if line and not line.startswith(("#", "import")) and (folder / line).is_dir()]
    return {"executable": sys.executable, "places": list(dict.fromkeys(folders))}


def end_with_the_program():
    poll = select.poll()
    poll.register(SOCKET, select.POLLRDHUP)
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_program, daemon=True).start()
    server = Server()
    if sys.argv[1:] == ["--places"]:
        server.send(places())
        sys.exit(0)
    try:
        import numpy
    except ImportError:
        first = json.loads(server.receive(*struct.unpack("<Q", server.receive(8))))
        server.send({"error": [first["place"] + "/config/interpreter", f"{sys.executable} has no numpy"]})
        sys.exit(1)
    server.run()
