"""Speaks to thalweg-video as the engine does: engine/video/messages.h."""
import dataclasses
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import threading

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("THALWEG_BUILD", ROOT / "build/release")) / "thalweg-video"
# A process' peak of memory counts from what it was forked from: a small one stands between.
LAUNCHER = """import os, resource, subprocess, sys
os.dup2(int(sys.argv[1]), 3)
code = subprocess.run(sys.argv[2:], pass_fds=[3]).returncode
sys.stderr.write("%d %d" % (code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"""
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
    with tempfile.TemporaryFile() as answers, tempfile.TemporaryFile() as ending:
        program = subprocess.Popen([sys.executable, "-ISc", LAUNCHER, str(media), PROGRAM, mode], stdin=subprocess.PIPE,
                                   stdout=answers, stderr=ending, pass_fds=[media], start_new_session=True)
        timer = threading.Timer(timeout, os.killpg, (program.pid, signal.SIGKILL))
        timer.start()
        try:
            program.stdin.write(sent)
            program.stdin.close()
        except BrokenPipeError:  # it has refused already
            pass
        program.wait()
        timer.cancel()
        answers.seek(0)
        ending.seek(0)
        said = ending.read().split()
        assert len(said) == 2, f"it took more than {timeout} s, or printed {said}"
        code, peak_kib = map(int, said)
        data, found, at = answers.read(), [], 0
    while at < len(data):
        tag, (length,) = data[at:at + 4], struct.unpack_from("<Q", data, at + 4)
        found.append((tag, data[at + 12:at + 12 + length]))
        at += 12 + length
    return found, code, peak_kib


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
    frames = np.stack([np.frombuffer(payload, np.uint8).reshape(height, width, 3) for tag, payload in answers
                       if tag == b"FRAM"])
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
