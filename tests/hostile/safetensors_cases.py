"""Safetensors files that break one rule each. A case is (name, bytes, words): words of the message with which the file
must be refused, or None for a file that must be read."""

import itertools

from safetensors_bytes import BITS, LIMIT, ONE, READ, fields, frame, tensor, tensors

# What may not stand where an object, a text, a list or a whole number must: JSON, and how the message calls it.
KINDS = {"null": "null", "true": "a boolean", "false": "a boolean", "7": "a number", '"t"': "a text", "[1]": "a list",
         "{}": "an object"}
FRACTION = "a fraction or too large a number"
NOT_WHOLE = {"-1": "a negative number", "-0": "a negative number", "1.0": FRACTION, "1e0": FRACTION, "0.5": FRACTION,
             "-0.5": FRACTION, "18446744073709551616": FRACTION, "99999999999999999999999": FRACTION, "null": "null", "true": "a boolean", '"1"': "a text",
             "[1]": "a list", "{}": "an object"}
NOT_JSON = ["", "nul", "tru", "01", "+1", ".5", "1.", "1e", "1e+", "--1", "NaN", "Infinity", "'a'", "0x10", "1_0", "[1,]",
            "[,1]", "[1 2]", '{"k"}', '{"k":}', '{"k" 1}', '{k:1}', '{"k":1,}', "[", "{", '"', '"\t"', '"\\x"', '"\\u12"',
            '"\\u12G4"', '"\\ud800"', '"\\ud800\\u0041"', '"\\udc00"', '"\\ud800 \\udc00"', "1e999", "-1e999", "1" * 400,
            "//c\n1", "/*c*/1", "\u00a01", "[1}", '{"k":1]', "\\u0031"]
NOT_UTF8 = {"lone byte": b"\x80", "overlong": b"\xc0\xaf", "overlong 3": b"\xe0\x80\xaf", "overlong 4": b"\xf0\x80\x80\xaf",
            "surrogate": b"\xed\xa0\x80", "above U+10FFFF": b"\xf4\x90\x80\x80", "cut": b"\xe2\x82", "latin-1": b"\xfc",
            "fe": b"\xfe", "ff": b"\xff", "five bytes": b"\xf8\x88\x80\x80\x80"}


def of_the_frame():
    for size in range(8):
        yield f"{size} bytes", bytes(size), f"is {size} bytes long"
    for value in [LIMIT + 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 9, 2**64 - 8, 2**64 - 1]:
        yield f"length {value}", frame("{}", length=value), f"claims {value} bytes, above"
    for value in [3, 100, LIMIT]:
        yield f"length {value}", frame("{}", length=value), f"claims {value} bytes, more than the file has"
    yield "length 1 of 2", frame("{}", length=1), "not valid JSON"
    yield "no header", frame(""), "the header is empty"
    for name, text in [("pickle", "\x80\x02}q\x00."), ("zip", "PK\x03\x04"), ("ggml", "GGUF"), ("list", "[]"),
                       ("text", '"{}"'), ("byte order mark", "\ufeff{}"), ("blank", " {}"), ("line", "\n{}"),
                       ("zero", "\0{}"), ("null", "null")]:
        yield f"starts with {name}", frame(text.encode("latin-1", "replace") if name == "pickle" else text), "does not start with '{'"
    for name, text in [("text", '{}"a"'), ("object", "{} {}"), ("brace", "{}}"), ("comma", "{},"), ("letter", "{}x")]:
        yield f"{name} after the header", frame(text), "not valid JSON near its byte"
    yield "NUL after the header", frame("{}\0"), "NUL byte"
    yield "NUL in a name", fields(ONE, name='"a\0"'), "NUL byte"
    for name, raw in NOT_UTF8.items():
        yield f"name: {name}", frame(b'{"' + raw + b'":{' + ONE.encode() + b"}}", b"x"), "not valid UTF-8 near its byte 3"
        yield f"metadata: {name}", frame(b'{"__metadata__":{"k":"v' + raw + b'"}}'), "not valid UTF-8 near its byte 24"


def of_the_syntax():
    for i, value in enumerate(NOT_JSON):
        yield f"unknown field {i}", tensor(extra=f',"later":{value}'), "not valid JSON near its byte"
    for text in ["{", '{"', '{"a', '{"a"', '{"a":', '{"a":{', '{"a":{"dtype"', '{"a":{"dtype":"U8"', '{"a":{%s' % ONE,
                 '{"a":{%s}' % ONE, '{"a":{%s},' % ONE, '{"a":{%s},}' % ONE, '{"a" {%s}}' % ONE, '{"a":{%s} "b":1}' % ONE,
                 "{,}", "{a:1}", '{"a"}']:
        yield f"syntax {text}", frame(text, b"x"), "not valid JSON near its byte"
    for depth in [126, 1000, 100_000, 1_000_000]:
        for opening, closing in ["[]", ('{"k":', "}")]:
            yield f"{depth} levels of {opening}", tensor(extra=',"x":' + opening * depth + "1" + closing * depth), "not valid JSON"
    yield "unclosed levels", frame('{"a":{"x":' + "[" * 1_000_000), "not valid JSON"
    yield "levels in place of a tensor", frame('{"a":' + "[" * 1_000_000), "described by a list"
    yield "levels in a shape", tensor(shape="[" * 100_000), "its shape holds a list"


def of_the_names():
    same = '{"a":{%s},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},%s:{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}'
    for name in ['"a"', '"\\u0061"']:
        yield f"tensor twice as {name}", frame(same % (ONE, name), b"xyz"), '"a" is described twice'
    yield "metadata twice", frame('{"__metadata__":{},"__metadata__":{}}'), '"__metadata__" is described twice'
    yield "metadata twice, escaped", frame('{"__metadata__":{},"__metadat\\u0061__":{}}'), '"__metadata__" is described twice'
    yield "metadata null and object", frame('{"__metadata__":null,"__metadata__":{}}'), '"__metadata__" is described twice'
    yield "metadata key twice", frame('{"__metadata__":{"k":"1","l":"2","k":"1"}}'), 'gives "k" twice'
    yield "metadata key twice, escaped", frame('{"__metadata__":{"k":"1","\\u006b":"1"}}'), 'gives "k" twice'
    for value, kind in KINDS.items():
        if value not in ("{}", "null"):
            yield f"metadata {value}", frame('{"__metadata__":%s}' % value), f"__metadata__ is {kind}"
        if value != '"t"':
            yield f"metadata value {value}", frame('{"__metadata__":{"k":%s}}' % value), f'holds {kind} at "k"'
        if value != "{}":
            yield f"tensor {value}", frame('{"a":%s}' % value, b""), f'tensor "a" is described by {kind}'
    yield "tensor as a list", frame('{"a":["U8",[1],[0,1]]}', b"x"), "is described by a list"
    for field in ["dtype", "shape", "data_offsets"]:
        value = {"dtype": '"U8"', "shape": "[1]", "data_offsets": "[0,1]"}[field]
        yield f"{field} twice", tensor(extra=f',"{field}":{value}'), f"{field} is given twice"
        rest = ",".join(part for part in ['"dtype":"U8"', '"shape":[1]', '"data_offsets":[0,1]'] if field not in part)
        yield f"no {field}", fields(rest), f"{field} is missing"
        yield f"{field} misspelt", fields(rest + f',"{field.upper()}":{value}'), f"{field} is missing"
    yield "no fields", fields(""), "dtype is missing"
    for value, kind in KINDS.items():
        if value != '"t"':
            yield f"dtype {value}", fields(f'"dtype":{value},"shape":[1],"data_offsets":[0,1]'), f"dtype is {kind}"
        if value != "[1]":
            yield f"shape {value}", tensor(shape=value), f"shape is {kind}"
            yield f"offsets {value}", tensor(span=value), f"data_offsets is {kind}"
    yield "dtype as an object", fields('"dtype":{"U8":null},"shape":[1],"data_offsets":[0,1]'), "dtype is an object"
    for name in ["u8", "U9", "F31", "", "float32", "U8 ", "F8", "F8_E4M3FN", "I4", "Q4_0", "C128", "F128", "U\\u00d68", "\\u0000",
                 "U8\\u0000", "\\u001b[31m", "x" * 5000]:
        yield f"dtype {name[:20]}", tensor(dtype=name), "the format has no dtype"
    for name in ["a\\u001b[2J", "a\\u0000b", "a\\n\\tb", "a\\u007f", "a\\u009b31m", "\u202e", "x" * 100_000, "\u20ac" * 50_000]:
        yield f"refused by name {name[:12]!a}", frame('{"%s":1}' % name), "is described by a number"


def of_the_sizes():
    for value, kind in NOT_WHOLE.items():
        yield f"size {value}", tensor(shape=f"[{value}]"), f"its shape holds {kind}"
        yield f"second size {value}", tensor(shape=f"[1,{value}]"), f"its shape holds {kind}"
        yield f"begin {value}", tensor(span=f"[{value},1]"), f"its data_offsets hold {kind}"
        yield f"end {value}", tensor(span=f"[0,{value}]"), f"its data_offsets hold {kind}"
    for span, count in [("[]", 0), ("[0]", 1)]:
        yield f"{count} offsets", tensor(span=span), f"data_offsets has {count} numbers"
    yield "three offsets", tensor(span="[0,1,1]"), "more than two numbers"
    yield "many offsets", tensor(span="[0,1" + ",1" * 100_000 + "]"), "more than two numbers"
    for value in [2**63, 2**64 - 1]:
        yield f"size {value}", tensor(shape=f"[{value}]"), "above 2^63 - 1"
        yield f"size {value} and 0", tensor(shape=f"[0,{value}]", span="[0,0]", data=b""), "above 2^63 - 1"
    for count in [65, 1000, 100_000]:
        yield f"{count} dimensions", tensor(shape="[" + ",".join(["1"] * count) + "]"), "more than 64 dimensions"
    for shape in [[2**32, 2**32], [2**32, 2**32, 0], [2**63 - 1, 3], [2**22] * 3, [2**62, 2, 2], [10**18, 10**18]]:
        yield f"product of {shape}", tensor(shape=str(shape)), "the product of its shape overflows"
    for dtype, shape in [("F64", [2**61]), ("F32", [2**60]), ("U8", [2**61]), ("I64", [2**31, 2**31])]:
        yield f"bits of {dtype} {shape}", tensor(dtype=dtype, shape=str(shape)), "more than 2^64 bits"
    for shape in [[0, 2**62, 2**62], [0, 2**63 - 1, 2], [2, 0, 2**62], [0] + [2**31] * 3]:
        yield f"empty, strides of {shape}", tensor(dtype="F32", shape=str(shape), span="[0,0]", data=b""), "too large for any tensor"
    for dtype, shape in [("F4", [1]), ("F4", [3, 3]), ("F6_E2M3", [1]), ("F6_E3M2", [2]), ("F6_E2M3", [3])]:
        yield f"{dtype} {shape}", tensor(dtype=dtype, shape=str(shape)), "bits end within a byte"
    for dtype, bits in BITS.items():
        if bits >= 8:
            size = bits // 8
            yield f"{dtype} one byte short", tensor(dtype, "[2]", f"[0,{2 * size - 1}]", bytes(2 * size - 1)), "its data_offsets span"
            yield f"{dtype} one byte long", tensor(dtype, "[2]", f"[0,{2 * size + 1}]", bytes(2 * size + 1)), "its data_offsets span"
    for span in [[1, 0], [2**64 - 1, 0], [5, 4]]:
        yield f"backwards {span}", tensor(span=str(span)), "end before they begin"
    yield "span of 2^64 - 1", tensor(span=f"[0,{2**64 - 1}]"), "its data_offsets span"


def of_the_spans():
    u8 = lambda name, begin, end: (name, "U8", [end - begin], begin, end)
    cases = {
        "begins at 1": ([u8("a", 1, 2)], 2, "a hole in the data"),
        "begins far away": ([u8("a", 2**63, 2**63 + 1)], 1, "a hole in the data"),
        "hole": ([u8("a", 0, 2), u8("b", 3, 5)], 5, "a hole in the data"),
        "hole of the first": ([u8("b", 3, 5), u8("a", 1, 3)], 5, "a hole in the data"),
        "hole before an empty one": ([u8("a", 0, 2), u8("b", 3, 3)], 3, "a hole in the data"),
        "empty one beyond the end": ([u8("a", 0, 1), u8("b", 5, 5)], 1, "a hole in the data"),
        "empty one within another": ([u8("a", 0, 4), u8("b", 2, 2)], 4, "overlaps"),
        "overlap": ([u8("a", 0, 2), u8("b", 1, 3)], 3, "overlaps"),
        "same span": ([u8("a", 0, 2), u8("b", 0, 2)], 2, "overlaps"),
        "same span and more": ([u8("a", 0, 2), u8("b", 0, 2)], 4, "overlaps"),
        "within": ([u8("a", 0, 4), u8("b", 1, 2)], 4, "overlaps"),
        "same begin": ([u8("a", 0, 4), u8("b", 0, 2)], 4, "overlaps"),
        "cut short by 1": ([u8("a", 0, 9)], 8, "is cut short: the tensors need 9 bytes of data, the file has 8"),
        "no data": ([u8("a", 0, 9)], 0, "is cut short"),
        "2^40 bytes": ([u8("a", 0, 2**40)], 8, "is cut short"),
        "2^60 bytes": ([u8("a", 0, 2**60)], 8, "is cut short"),
        "byte left": ([u8("a", 0, 9)], 10, "1 bytes after the last tensor belong to none"),
        "zip left": ([u8("a", 0, 9)], 5000, "4991 bytes after the last tensor"),
        "data without tensors": ([], 3, "3 bytes after the last tensor"),
        "data of empty ones": ([u8("a", 0, 0)], 1, "1 bytes after the last tensor"),
    }
    for name, (rows, size, words) in cases.items():
        yield name, tensors(*rows, data=bytes(size)), words


def of_the_values():
    """Valid to the format, and refused here."""
    for dtype in BITS:
        if dtype not in READ:
            yield f"{dtype} is not read", tensor(dtype, "[8]", f"[0,{BITS[dtype]}]", bytes(BITS[dtype])), f"of dtype {dtype}, which is not supported"
    for value in [2, 128, 255]:
        yield f"BOOL of {value}", tensor("BOOL", "[4]", "[0,4]", bytes([0, 1, value, 1])), "neither 0 nor 1"


def of_the_masses():
    """Many tensors in one header."""
    def many(count, row):
        return "{" + ",".join(f'"{i}":' + row(i) for i in range(count)) + "}"
    spread = lambda begin, end: f'{{"dtype":"U8","shape":[{end - begin}],"data_offsets":[{begin},{end}]}}'
    yield "100,000 overlap", frame(many(100_000, lambda i: spread(0, 4)), bytes(4)), "overlaps"
    yield "100,000 with one hole", frame(many(100_000, lambda i: spread(i + (i > 70_000), i + 1 + (i > 70_000))), bytes(100_001)), "a hole"
    yield "100,000 and one twice", frame(many(100_000, lambda i: spread(i, i + 1))[:-1] + ',"77":' + spread(100_000, 100_001) + "}", bytes(100_001)), '"77" is described twice'
    yield "300,000 empty", frame(many(300_000, lambda i: spread(0, 0))), "more than 262144 tensors"
    yield "70,000 metadata", frame('{"__metadata__":{' + ",".join(f'"{i}":""' for i in range(70_000)) + "}}"), "more than 65536 texts"


REFUSED = [of_the_frame, of_the_syntax, of_the_names, of_the_sizes, of_the_spans, of_the_masses, of_the_values]


def refused():
    return list(itertools.chain.from_iterable(part() for part in REFUSED))


# Why a file that the reference reader takes is refused here: docs/decisions/0012.
STRICTER = {
    "is described twice": "duplicate keys", "twice": "duplicate keys",
    "does not start with '{'": "the format's own text: the header begins with '{'",
    "is described by a list": "a struct as a list is an accident of the reference reader's library",
    "dtype is an object": "and so is an enumerator as an object",
    "above 2^63 - 1": "no tensor has such a size", "too large for any tensor": "no tensor has such strides",
    "more than 64 dimensions": "LibTorch's limit",
    "more than 262144 tensors": "memory", "more than 65536 texts": "memory",
    "which is not supported": "no such element type here", "neither 0 nor 1": "undefined behaviour where it is read",
}
