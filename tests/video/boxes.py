"""The boxes of an MP4 file, taken apart and put together: a tree of [kind, payload or list of boxes]."""
import struct

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta"}


def parse(data):
    boxes, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        assert start - at <= size <= len(data) - at, (kind, size)
        payload = data[start:at + size]
        boxes.append([kind, parse(payload) if kind in CONTAINERS else payload])
        at += size
    return boxes


def join(boxes):
    out = b""
    for kind, content in boxes:
        payload = content if isinstance(content, bytes) else join(content)
        out += struct.pack(">I4s", 8 + len(payload), kind) + payload
    return out


def find(boxes, *kinds):
    """The first box on the path, to be changed in place."""
    for box in boxes:
        if box[0] == kinds[0]:
            return box if len(kinds) == 1 else find(box[1], *kinds[1:])
    raise KeyError(kinds)


STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def table(numbers, *head):
    """The payload of a full box with a count: stts, stsz, stco, ..."""
    return struct.pack(f">I{len(head)}I", 0, *head) + struct.pack(f">{len(numbers)}I", *numbers)


def repeated(data, count):
    """The first picture of a file of one, `count` times: all samples lie at the same place."""
    boxes = parse(data)
    stbl = find(boxes, *STBL)[1]
    (size,) = struct.unpack_from(">I", find(stbl, b"stsz")[1], 4)
    if size == 0:
        (size,) = struct.unpack_from(">I", find(stbl, b"stsz")[1], 12)
    (delta,) = struct.unpack_from(">I", find(stbl, b"stts")[1], 12)
    stbl[:] = [box for box in stbl if box[0] not in (b"stsz", b"stts", b"stco", b"stsc", b"stss", b"ctts", b"sgpd", b"sbgp")]
    stbl += [[b"stts", table([count, delta], 1)], [b"stsc", table([1, 1, 1], 1)], [b"stsz", table([], size, count)]]
    stco = [b"stco", table([0] * count, count)]
    stbl.append(stco)
    trak = find(boxes, b"moov", b"trak")[1]
    trak[:] = [box for box in trak if box[0] != b"edts"]
    boxes = [box for box in boxes if box[0] != b"mdat"] + [box for box in boxes if box[0] == b"mdat"]
    offset = len(join([box for box in boxes if box[0] != b"mdat"])) + 8
    stco[1] = table([offset] * count, count)
    return join(boxes)
