"""Safetensors files that are odd and break no rule, and edits of a whole one. Cases as in safetensors_cases.py; the
words "?" leave it to the reference reader whether the file must be read."""

import random
import struct

from safetensors_bytes import BITS, ONE, READ, fields, frame, tensor, tensors


def odd_but_valid():
    yield "no tensors", frame("{}"), None
    yield "white space", frame("{ } \t\r\n"), None
    yield "padded", frame("{}" + " " * 1000), None
    yield "spread out", frame('{ "a" : { "dtype" : "U8" , "shape" : [ 1 ] , "data_offsets" : [ 0 ,\n1 ] } }', b"x"), None
    yield "metadata alone", frame('{"__metadata__":{"format":"pt"}}'), None
    yield "metadata null", frame('{"__metadata__":null}'), None
    yield "metadata empty", frame('{"__metadata__":{}}'), None
    yield "metadata last", frame('{"a":{%s},"__metadata__":{"":""}}' % ONE, b"x"), None
    yield "metadata spelt with escapes", frame('{"__met\\u0061data__":{"k":"v"}}'), None
    yield "metadata with NUL", frame('{"__metadata__":{"\\u0000":"\\u0000"}}'), None
    yield "metadata of 1 MB", frame('{"__metadata__":{"k":"%s"}}' % ("\u20ac" * 350_000)), None
    yield "escapes", frame('{"__metadata__":{"k":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fc\\ud83d\\ude00\x7f"}}'), None
    yield "scalar", tensor(shape="[]"), None
    yield "empty name", tensor(name='""'), None
    yield "long name", tensor(name='"%s"' % ("n" * 100_000)), None
    yield "name with escapes", tensor(name='"\\u00e9\\ud83d\\ude00\\n"'), None
    yield "names alike", frame('{"A":{%s},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a ":{"dtype":"U8","shape":[1],'
                               '"data_offsets":[2,3]}}' % ONE, b"xyz"), None
    yield "fields in another order", fields('"data_offsets":[0,1],"shape":[1],"dtype":"U8"'), None
    yield "field spelt with escapes", fields('"dt\\u0079pe":"\\u00558","shape":[1],"data_offsets":[0,1]'), None
    for i, value in enumerate(["1", "-0", "1e5", "-1.5E-7", "1e-999", "18446744073709551616", "true", "null", '"\\ud83d\\ude00"',
                               '[1,[2,{"k":[]}]]', '{"k":1,"k":2}', "[" * 125 + "]" * 125, "1" * 300]):
        yield f"unknown field, read past {i}", tensor(extra=f',"later":{value}'), None
    yield "64 dimensions", tensor(shape="[" + ",".join(["1"] * 64) + "]"), None
    yield "empty tensors", tensors(("a", "F32", [0], 0, 0), ("b", "F32", [0, 7], 0, 0), ("c", "F32", [7, 0], 0, 0)), None
    yield "empty between", tensors(("a", "U8", [1], 0, 1), ("b", "F64", [0], 1, 1), ("c", "U8", [1], 1, 2), data=b"xy"), None
    yield "empty and wide", tensor("F32", f"[0,{2**40}]", "[0,0]", b""), None
    yield "unaligned", tensors(("a", "U8", [1], 0, 1), ("b", "F64", [1], 1, 9), data=bytes(9)), None
    yield "last first", tensors(("b", "U8", [1], 1, 2), ("a", "U8", [1], 0, 1), data=b"xy"), None
    yield "not a number", tensor("F32", "[1]", "[0,4]", b"\xff\xff\xff\xff"), None
    for dtype in READ:
        yield f"{dtype}", tensor(dtype, "[2,1]", f"[0,{BITS[dtype] // 4}]", bytes(BITS[dtype] // 4)), None


def mutations(count=400):
    """Seeded edits of a whole file, whatever becomes of it; the name says nothing, the peer decides."""
    rng = random.Random(20261124)
    whole = frame('{"__metadata__":{"k":"v"},"ab":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},'
                  '"c":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}', bytes(range(11)))
    tokens = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"0", b"1", b"9", b"-", b".", b"e", b" ", b"\\", b"\\u0061", b"null", b"\xc3\xbc",
              b"\xff", b"\x00", b'"ab"', b'"c"', b"F64", b"18446744073709551615"]
    for i in range(count):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2])):
            at = rng.randrange(8, len(data))
            action = rng.randrange(3)
            data[at:at + (action != 0) * rng.randint(1, 3)] = rng.choice(tokens) if action < 2 else b""
        if rng.random() < 0.8:  # the length follows the edit, so that more than the frame is tried
            data[:8] = struct.pack("<Q", len(data) - 19)
        yield f"mutation {i}", bytes(data), "?"
