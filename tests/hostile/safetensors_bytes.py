"""Bytes of safetensors files, whatever their headers say."""

import json
import struct

LIMIT = 100_000_000


def frame(header, data=b"", length=None):
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def fields(text, data=b"x", name='"a"'):
    return frame("{%s:{%s}}" % (name, text), data)


def tensor(dtype="U8", shape="[1]", span="[0,1]", data=b"x", extra="", name='"a"'):
    return fields(f'"dtype":"{dtype}","shape":{shape},"data_offsets":{span}{extra}', data, name)


def tensors(*rows, data=b""):
    """Rows of (name, dtype, shape, begin, end)."""
    header = {name: {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
              for name, dtype, shape, begin, end in rows}
    return frame(json.dumps(header), data)


ONE = '"dtype":"U8","shape":[1],"data_offsets":[0,1]'
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "I32": 32, "I64": 64, "F16": 16, "BF16": 16, "F32": 32, "F64": 64,
        "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6,
        "F4": 4, "U16": 16, "U32": 32, "U64": 64, "C64": 64}
READ = ["BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "BF16", "F32", "F64", "F8_E4M3", "F8_E5M2"]
