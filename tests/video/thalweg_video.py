"""Speaks to thalweg-video as the engine does: engine/video/messages.h."""
import dataclasses
import os
import pathlib
import struct
import subprocess
import tempfile
import threading

import numpy as np

PROGRAM = pathlib.Path(os.environ["THALWEG_BUILD"]) / "thalweg-video"
LIMITS = {"pixels": 4096 * 2304, "frames": 2048, "bytes": 2 << 30, "milliseconds": 600_000}


class Refused(Exception):
    pass


@dataclasses.dataclass
class Video:
    frames: np.ndarray  # [F,H,W,3] uint8
    rate: tuple
    notes: list
    peak_kib: int  # of the program, all of it resident


def message(tag, payload=b""):
    return tag + struct.pack("<Q", len(payload)) + payload


def converse(mode, sent, media, timeout=60):
    """What it answers to these bytes, as (tag, payload) pairs, its exit code and its peak of resident memory in KiB."""
    with tempfile.TemporaryFile() as answers:
        program = subprocess.Popen(["/bin/sh", "-c", f'exec "$0" {mode} 3<&{media}', PROGRAM], stdin=subprocess.PIPE,
                                   stdout=answers, pass_fds=[media])
        timer = threading.Timer(timeout, program.kill)
        timer.start()
        try:
            program.stdin.write(sent)
            program.stdin.close()
        except BrokenPipeError:  # it has refused already
            pass
        _, status, usage = os.wait4(program.pid, 0)
        timer.cancel()
        answers.seek(0)
        data, found, at = answers.read(), [], 0
    while at < len(data):
        tag, (length,) = data[at:at + 4], struct.unpack_from("<Q", data, at + 4)
        found.append((tag, data[at + 12:at + 12 + length]))
        at += 12 + length
    return found, os.waitstatus_to_exitcode(status), usage.ru_maxrss


def encode(frames, rate=(16, 1), size=None, timeout=60):
    """An MP4 file of frames [F,H,W,3]."""
    height, width = size or frames.shape[1:3]
    sent = message(b"HEAD", struct.pack("<4I", width, height, *rate))
    sent += b"".join(message(b"FRAM", frame.tobytes()) for frame in frames) + message(b"DONE")
    with tempfile.TemporaryFile() as file:
        answers, code, _ = converse("encode", sent, file.fileno(), timeout)
        if not answers or answers[-1][0] != b"DONE":
            raise Refused(answers[-1][1].decode() if answers else f"exit code {code}")
        assert struct.unpack("<Q", answers[-1][1]) == (len(frames),)
        file.seek(0)
        return file.read()


def decode(media, timeout=60, **limits):
    """A Video of the bytes of a file."""
    limits = {**LIMITS, **limits}
    sent = message(b"READ", struct.pack("<4Q", *(limits[name] for name in LIMITS)))
    with tempfile.TemporaryFile() as file:
        file.write(media)
        file.flush()
        answers, code, peak_kib = converse("decode", sent, file.fileno(), timeout)
    if not answers or answers[-1][0] != b"DONE":
        refused = Refused(answers[-1][1].decode() if answers and answers[-1][0] == b"FAIL" else f"exit code {code}")
        refused.peak_kib = peak_kib
        raise refused
    width, height = struct.unpack("<2I", answers[0][1])
    frames = np.stack([np.frombuffer(payload, np.uint8).reshape(height, width, 3) for tag, payload in answers if tag == b"FRAM"])
    count, numerator, denominator = struct.unpack_from("<Q2I", answers[-1][1])
    assert count == len(frames)
    return Video(frames, (numerator, denominator), answers[-1][1][16:].decode().splitlines(), peak_kib)


def moving(frames=24, height=64, width=96, seed=0):
    """A smooth picture that drifts, [F,H,W,3] uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = rng.uniform(0.02, 0.12, (3, 2))
    phase = rng.uniform(0, 6.28, 3)
    clip = [[np.sin(waves[c, 0] * (x + 2 * f) + waves[c, 1] * y + phase[c]) for c in range(3)] for f in range(frames)]
    return (127.5 + 120 * np.array(clip)).round().astype(np.uint8).transpose(0, 2, 3, 1)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))
