"""Folders of Gaussian mixtures broken in one way each; cases as in model_cases."""

import json
import os
import pathlib

import model_cases
from hostile_tool import ROOT
from model_cases import edit, loop, put, special

MODEL = ROOT / "assets" / "laboratory" / "prompts"
INDEX, CONFIG, SCHEDULER = "model_index.json", "mixture/config.json", "scheduler/scheduler_config.json"
FILES = [INDEX, CONFIG, SCHEDULER]


def copy_of(folder):
    """A mixture with laws of its own for two prompts, and shifted noise levels."""
    model_cases.copy_of(folder, MODEL)
    edit(folder / INDEX, scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
    (folder / SCHEDULER).parent.mkdir()
    put(folder / SCHEDULER, {"shift": 3.0})
    return folder


def nested(depth):
    value = 1.0
    for _ in range(depth):
        value = [value]
    return value


# Of a list whose second number is the value: what must not stand there, as JSON.
NO_NUMBERS = ["null", "true", '"1"', '"NaN"', "[]", "[1]", "{}"]
NO_LISTS = ["0.5", '"0.6, 0.4"', "{}", "[]", "true", json.dumps([1 / 257] * 257), json.dumps(nested(50)[0])]


def lists():
    """(key, JSON in its place, words) of the three lists of numbers."""
    for key in ["weights", "means", "stds"]:
        for text in NO_NUMBERS:
            yield key, f"[0.5, {text}]", f'"KEY{key}[1]" must be a number'
        for text in NO_LISTS:
            yield key, text, f'"KEY{key}' + ('[0]" must be a number' if text.startswith("[[") else '" must be a list of 1 to 256')
        yield key, "null", f'"KEY{key}" is missing'
    for weights, words in [([0.5, 0.4], "must sum to 1, not to 0.9"), ([0.6, 0.6], "must sum to 1"), ([0.5, 0.500002], "must sum to 1"),
                           ([1e-12, 1e-12], "must sum to 1"), ([1e6, 1e6], "must sum to 1")]:
        yield "weights", json.dumps(weights), f'"KEYweights" {words}'
    for weights in [[1.5, -0.5], [1, 0], [1, -0.0], [1, 1e-13], [1, 5e-324], [0, 1e300], [0.5, -(2**63)], [0.5, 2**64 - 1]]:
        place = 0 if weights[0] == 0 else 1
        yield "weights", json.dumps(weights), f'"KEYweights[{place}]" must be a number from'
    for std in [0, -0.0, -1, -1e300, 5e-324, 1e-7, 1.1e6, 1e308, 2**63, 2**64 - 1, -(2**63), 10**40]:
        yield "stds", json.dumps([0.5, std]), '"KEYstds[1]" must be a number from'
    for mean in [1.1e6, -1.1e6, 1e308, -1e308, 2**64 - 1, -(2**63), 10**40]:
        yield "means", json.dumps([0.5, mean]), '"KEYmeans[1]" must be a number from'
    yield "weights", "[1]", '"KEYmeans" has 2 numbers, "KEYweights" 1'
    for key in ["means", "stds"]:
        for values in [[1], [1, 1, 1], [1] * 256]:
            yield key, json.dumps(values), f'"KEY{key}" has {len(values)} numbers, "KEYweights" 2'


def shapes():
    for value in [0, -1, 4097, 2**31, 2**32 + 1, 2**63 - 1, 2**63, 2**64 - 1, 10**40, -(2**63), 1.0, 1.5, "1", None, True, [1], {}]:
        for side in range(4):
            shape = [1, 1, 1, 1]
            shape[side] = value
            yield shape, f'"shape[{side}]" must be a whole number'
    yield [2, 1, 1, 1], '"shape[0]" must be 1 or 3'
    yield [4, 1, 1, 1], '"shape[0]" must be 1 or 3'
    for shape in [[], 7, "1,1,1,1", {}, True, [1] * 5, [1] * 100_000]:
        yield shape, '"shape" must be a list of 1 to 4'
    for shape in [[1], [1, 1, 1]]:
        yield shape, '"shape" must be [channels, frames, height, width]'
    # Products above the limit, some of which are small numbers modulo 2^32.
    for shape in [[1, 3, 4096, 4096], [3, 4096, 4096, 4096], [1, 4096, 4096, 256], [1, 1024, 2048, 2048]]:
        yield shape, '"shape" is too large'


def prompt_tables():
    """("prompts", words)."""
    whole = {"weights": [0.5, 0.5], "means": [0, 1], "stds": [1, 1]}
    for value in [7, True, "left", [], [whole], nested(50)]:
        yield value, '"prompts" must be an object'
        yield {"left": value}, '"prompts/left" must be an object'
    yield {"left": None}, '"prompts/left" must be an object'
    yield {"left": {}}, '"prompts/left/weights" is missing'
    yield {"": whole}, "names the empty prompt"
    yield {"left": whole, "right": {**whole, "means": [0]}}, '"prompts/right/means" has 1 numbers'
    yield {"left": {"weights": [1], "means": [0], "stds": [1]}}, '"prompts/left/weights" must have as many components'
    yield {"left": {**whole, "shape": [1, 1, 1, 1]}}, '"prompts/left/shape" is no key'
    yield {"left": {**whole, "prompts": {}}}, '"prompts/left/prompts" is no key'
    yield {"left": {**whole, "std": [1, 1]}}, 'did you mean "stds"'
    yield {"l" * 900_000: {**whole, "stds": [1, 0]}}, '.../stds[1]" must be a number from'
    yield {"\u001b[2J\u202e": {**whole, "stds": [1, 0]}}, '/stds[1]" must be a number from'
    yield {str(i): None for i in range(4097)}, '"prompts" must be an object of at most 4096'


def with_text(key, text, under=None):
    """The value as JSON of a key of the config, or of the prompt `under`."""
    def spoil(folder):
        config = json.loads((folder / CONFIG).read_text())
        (config["prompts"][under] if under else config)[key] = "HERE"
        put(folder / CONFIG, json.dumps(config).replace('"HERE"', text).encode())
    return spoil


def texts():
    """(file, what it becomes, words)."""
    for file in FILES:
        for data, words in [(b"", "not valid JSON"), (b"[]", "must be a JSON object"), (b"7", "must be a JSON object"), (b"null", "must be a JSON object"),
                            (b"\xff", "not valid JSON"), (b'{"a":1,"a":2}', "given twice"), (b"[" * 10**6, "nested deeper"),
                            (b'{"a":' * 65, "nested deeper"), (b"{}" + b" " * (1 << 20), "is larger than"), (b"\xef\xbb\xbf{}", "byte order mark")]:
            yield file, data, words
    for text in ["NaN", "-NaN", "Infinity", "-Infinity", "1e999", "nan", "0x1"]:
        yield CONFIG, f'{{"weights":[1],"means":[0],"stds":[{text}]}}'.encode(), "not valid JSON"
    yield CONFIG, b'{"weights":[1],"means":[0],"stds":[1],"stds":[2]}', 'the key "stds" is given twice'
    yield CONFIG, b'{"weights":[' + b"1," * 250_000 + b'1],"means":[0],"stds":[1]}', '"weights" must be a list of 1 to 256'
    yield CONFIG, {"weights": [1], "means": [0]}, '"stds" is missing'
    yield CONFIG, {"weight": [1], "means": [0], "stds": [1]}, '"weights" is missing'


def edits():
    """(file, changed keys, words)."""
    for shape, words in shapes():
        yield CONFIG, {"shape": shape}, words
    for prompts, words in prompt_tables():
        yield CONFIG, {"prompts": prompts}, words
    for key, words in [("std", 'did you mean "stds"'), ("shapes", 'did you mean "shape"'), ("", '"" is no key'), ("variance", '"variance" is no key'),
                       ("k" * 900_000, "is no key"), ("\u001b[2J", "is no key")]:
        yield CONFIG, {key: [1, 1]}, words
    for shift in [0, -1, 1e-4, 1e4, 1e308, 2**64 - 1, "3", True, [], {}]:
        yield SCHEDULER, {"shift": shift}, '"shift" must be a number from 0.001 to 1000.0'
    for values, words in [({"_class_name": "GaussianMixture"}, "is not a family that can be loaded"), ({"_class_name": None}, "_class_name"), ({"_class_name": []}, "_class_name"),
                          ({"mixture": None}, 'lists no component "mixture"'), ({"mixture": [None, None]}, 'lists no component "mixture"'),
                          ({"mixture": "thalweg"}, 'lists no component "mixture"'), ({"mixture": []}, '"mixture" must be [library, class]'),
                          ({"mixture": ["thalweg"]}, '"mixture" must be [library, class]'), ({"mixture": [7, 7]}, '"mixture" must be [library, class]'),
                          ({"../mixture": ["thalweg", "X"]}, "letters, digits and '_'")]:
        yield INDEX, values, words


def cases():
    for file, data, words in texts():
        yield f"{file} {str(data)[:40]}", lambda folder, file=file, data=data: put(folder / file, data), file, words
    for key, text, words in lists():
        yield f"{key} = {text[:40]}", with_text(key, text), CONFIG, words.replace("KEY", "")
        yield f"left's {key} = {text[:40]}", with_text(key, text, "left"), CONFIG, words.replace("KEY", "prompts/left/")
    for file, values, words in edits():
        yield f"{file} {str(values)[:50]!a}", lambda folder, file=file, values=values: edit(folder / file, **values), file, words
    for path in FILES + ["mixture", "scheduler"]:
        top = "" if path == INDEX else pathlib.PurePath(path).parts[0]
        yield f"{path} leads to itself", loop(path), top, ""
    for path in FILES:
        top = "" if path == INDEX else path
        yield f"{path} is a FIFO", special(path, os.mkfifo), top, ""
        yield f"{path} is a folder", special(path, os.mkdir), top, ""
        yield f"{path} is a device", special(path, lambda p: p.symlink_to("/dev/zero")), top, ""
        yield f"{path} is not there", special(path, lambda p: None), top, ""


# At the edges of what is read: changes of the config that leave it a mixture.
READ = [{}, {"shape": None}, {"prompts": None}, {"prompts": {}}, {"_note": nested(50)}, {"weights": [0.6, 0.4000005]}, {"weights": [1, 1e-12]},
        {"stds": [1e-6, 1e6]}, {"means": [-1e6, 1e6]}, {"shape": [3, 1, 2, 2]}, {"shape": [1, 1, 2048, 4096]},
        {"weights": [1 / 256] * 256, "means": [0] * 256, "stds": [1] * 256, "prompts": {}},
        {"prompts": {"\U0001f600/\n": {"weights": [0.5, 0.5], "means": [0, 0], "stds": [1, 1], "_note": 1}}}]
