"""What a reward's process may reach: the files that its job names, no network, no other process."""

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading

import numpy
import pytest
import tiny_sd3
import torch
from parity_tool import BUILD, ROOT
from PIL import Image
from program import ENVIRONMENT, PROGRAM, thalweg, validated, write_job
from safetensors.torch import save_file
from zoo_test import ZOO, result, score_job

CREATE_RULESET, ASK_FOR_VERSION = 444, 1  # the same number on all processors
LANDLOCK = ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, ASK_FOR_VERSION)
needs_landlock = pytest.mark.skipif(LANDLOCK < 1, reason="this kernel has no Landlock: files are not restricted")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    tiny_sd3.make_folder(folder / "model", seed=83)
    torch.manual_seed(0)
    save_file({"frames": torch.rand(4, 1, 3, 8, 8)}, folder / "frames.safetensors")
    return folder


@pytest.fixture
def secret(tmp_path):
    """A key in a home, in no folder that the job names."""
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "home/.ssh/id").write_text("the key")
    return tmp_path / "home/.ssh/id"


@pytest.fixture
def listener():
    """A server on loopback that greets whoever comes."""
    server = socket.create_server(("127.0.0.1", 0))

    def greet():
        while True:
            try:
                server.accept()[0].sendall(b"hello")
            except OSError:
                return

    threading.Thread(target=greet, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def reward(tmp_path, body, host=None, **config):
    """A function that tries `body` for the first of four samples, and lets what it raises out; each has a call."""
    (tmp_path / "own").mkdir(exist_ok=True)
    file = tmp_path / "own/mine.py"
    file.write_text("import ctypes, os, pathlib, socket, subprocess, tempfile\n\n\ndef score(prompts):\n    if prompts[0] == 'a':\n"
                    + "".join(f"        {line}\n" for line in body) + "    return [1.0] * len(prompts)\n")
    entry = {"plugin": "python", "config": {"file": str(file), "interpreter": sys.executable, **config}}
    return entry if host is None else {**entry, "host": host}


def scored(tmp_path, entry, **environment):
    """The values of four calls, the reasons of those that failed, and standard error."""
    (tmp_path / "reward.json").write_text(json.dumps(entry))
    (tmp_path / "prompts.txt").write_text("a\nb\nc\nd\n")
    pictures = tmp_path / "pictures"
    if not pictures.exists():
        pictures.mkdir()
        for number in range(4):
            Image.fromarray(numpy.full((8, 8, 3), 50 * number, numpy.uint8)).save(pictures / f"{number}.png")
    done = subprocess.run([PROGRAM, "reward", "try", tmp_path / "reward.json", pictures, "--prompts", tmp_path / "prompts.txt", "--json"],
                          capture_output=True, text=True, cwd=ROOT, env={**ENVIRONMENT, **environment})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["pictures"]
    return ([value for row in found for value in row["values"].values()], [reason for row in found for reason in row["not_scored"].values()],
            done.stderr)


def assert_refused(tmp_path, body, said, host=None, **environment):
    values, (reason,), _ = scored(tmp_path, reward(tmp_path, body, host), **environment)
    assert values == [None, 1.0, 1.0, 1.0] and said in reason, (values, reason)


def assert_allowed(tmp_path, body, host=None, **environment):
    values, reasons, _ = scored(tmp_path, reward(tmp_path, body, host), **environment)
    assert values == [1.0] * 4 and not reasons, (values, reasons)


READ = ["assert open({path!r}).read() == 'the key'"]
CONNECT = ["assert socket.create_connection(('127.0.0.1', {port})).recv(5) == b'hello'"]
WRITE = ["open({path!r}, 'w').write('mine')"]


def filled(body, **values):
    return [line.format(**{key: str(value) if key == "path" else value for key, value in values.items()}) for line in body]


@needs_landlock
def test_a_file_that_nobody_named_is_not_read(tmp_path, secret):
    body = filled(READ, path=secret)
    assert_refused(tmp_path, body, "PermissionError")
    assert_allowed(tmp_path, body, {"files": [str(secret)]})
    assert_allowed(tmp_path, body, {"files": [str(secret.parent)]})
    assert_allowed(tmp_path, body, {"sandbox": False})


def test_a_job_goes_on_without_what_was_refused(files, tmp_path, listener):
    job = {**score_job(files, reward(tmp_path, filled(CONNECT, port=listener)), output=str(tmp_path / "run")),
           "prompts": {"texts": list("abcd")}, "batch_size": 1}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["reward"] for line in (tmp_path / "run/scores.jsonl").read_text().splitlines()] == [None, 1.0, 1.0, 1.0]
    (failure,) = result(tmp_path / "run")["reward_failures"]
    assert failure["samples"] == 1 and "raised PermissionError: [Errno 13] Permission denied (mine.py, line 6)" in failure["reason"]
    assert (tmp_path / "run/events.jsonl").read_text().count("reward_log") == 0  # nothing to say of the sandbox


@needs_landlock
def test_what_the_configuration_names_is_read(tmp_path, secret):
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "a.txt").write_text("the key")
    text = "def make(path):\n    def fn(prompts):\n        assert open(path + '/a.txt').read() == 'the key'\n        return [1.0] * len(prompts)\n    return fn\n"
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine.py").write_text(text)
    entry = {"plugin": "python", "config": {"file": str(tmp_path / "own/mine.py"), "interpreter": sys.executable, "function": "make",
                                            "arguments": {"path": str(weights)}}}
    assert scored(tmp_path, entry)[0] == [1.0] * 4


@needs_landlock
def test_what_lies_beside_its_file_is_its_own_but_not_in_a_home(tmp_path, secret):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/words.txt").write_text("the key")
    assert_allowed(tmp_path, filled(READ, path=tmp_path / "own/words.txt"))
    assert_refused(tmp_path, filled(READ, path=tmp_path / "own/words.txt"), "PermissionError", HOME=str(tmp_path / "own"))
    (tmp_path / "own/beside.py").write_text("answer = 42\n")
    assert_allowed(tmp_path, ["import beside", "assert beside.answer == 42"], HOME=str(tmp_path / "own"))


@needs_landlock
@pytest.mark.parametrize("body", [WRITE, ["pathlib.Path({path!r}).unlink()"], ["os.truncate({path!r}, 0)"],
                                  ["os.rename({path!r}, {path!r} + '2')"], ["os.mkdir({path!r} + '2')"]], ids=str)
def test_nothing_is_written_outside(tmp_path, secret, body):
    assert_refused(tmp_path, filled(body, path=secret), "PermissionError", {"files": [str(secret.parent)]})
    assert secret.read_text() == "the key" and os.listdir(secret.parent) == ["id"]
    assert_allowed(tmp_path, filled(body, path=secret), {"writable": [str(secret.parent)]})


def test_its_temporary_folder_is_its_own_and_goes(tmp_path):
    body = ["folder = tempfile.mkdtemp()", "(pathlib.Path(folder) / 'x').write_text('x')",
            f"open({str(tmp_path / 'told')!r}, 'w').write(folder)"]
    (tmp_path / "told").write_text("")
    assert_allowed(tmp_path, body, {"writable": [str(tmp_path / "told")]})
    folder = (tmp_path / "told").read_text()
    assert "thalweg-reward" in folder and not os.path.exists(os.path.dirname(folder))


def test_the_network_is_there_when_asked_for(tmp_path, listener):
    body = filled(CONNECT, port=listener)
    assert_refused(tmp_path, body, "PermissionError")
    assert_allowed(tmp_path, body, {"network": True})
    assert_allowed(tmp_path, body, {"sandbox": False})


def test_other_ways_out_are_closed(tmp_path, secret):
    """Sockets of this machine, new namespaces, tracing, io_uring (number 425 everywhere); pairs of sockets and threads are left."""
    assert_refused(tmp_path, ["socket.socket(socket.AF_UNIX)"], "PermissionError", {"network": True})
    assert_refused(tmp_path, ["socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)"], "PermissionError")
    assert_refused(tmp_path, ["socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"], "PermissionError")
    assert_refused(tmp_path, ["socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"], "PermissionError", {"network": True})
    libc = "libc = ctypes.CDLL(None, use_errno=True)"
    for call in ("libc.unshare(0x10000000)", "libc.ptrace(16, os.getppid(), 0, 0)", "libc.syscall(425, 1, 0)",
                 "libc.mount(b'none', b'/', b'tmpfs', 0, None)"):
        assert_refused(tmp_path, [libc, f"assert {call} >= 0, os.strerror(ctypes.get_errno())"], "AssertionError")
    assert_allowed(tmp_path, ["a, b = socket.socketpair()", "a.send(b'x')", "assert b.recv(1) == b'x'",
                                     "assert subprocess.run(['true']).returncode == 0"])


@needs_landlock
def test_the_programs_environment_is_not_read(tmp_path):
    """The key of a service, say: a process started with it, which is not the reward's own."""
    with subprocess.Popen(["sleep", "600"], env={**os.environ, "SERVICE_KEY": "secret"}) as other:
        try:
            assert_refused(tmp_path, [f"assert b'secret' in open('/proc/{other.pid}/environ', 'rb').read()"], "PermissionError")
            assert_refused(tmp_path, [f"os.kill({other.pid}, 0)"] if LANDLOCK >= 6 else ["raise PermissionError"], "PermissionError")
        finally:
            other.kill()


def test_torch_works_in_it(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine.py").write_text(
        "import torch\nnet = torch.nn.Conv2d(3, 1, 3)\ndef score(images: torch.Tensor):\n"
        "    assert torch.get_num_threads() >= 1\n    torch.save(net.state_dict(), __import__('tempfile').mkstemp()[1])\n"
        "    return 0.0 * net(images).mean(dim=(1, 2, 3)) + 1.0\n")
    values, reasons, stderr = scored(tmp_path, {"plugin": "python", "config": {"file": str(tmp_path / "own/mine.py"),
                                                                                    "interpreter": sys.executable}})
    assert values == [1.0] * 4 and not reasons and "sandbox" not in stderr


@needs_landlock
def test_a_library_is_held_to_it_from_its_first_line(tmp_path, secret):
    """A constructor, which runs when the library is opened."""
    source = (ROOT / "plugins/template/c/brightness.c").read_text() + f"""
#include <fcntl.h>
#include <sys/socket.h>
__attribute__((constructor)) static void look(void) {{
  if (open("{secret}", O_RDONLY) >= 0 || socket(AF_INET, SOCK_STREAM, 0) >= 0) abort();
}}
"""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/looks.c").write_text(source)
    library = tmp_path / "own/looks.so"
    subprocess.run(["cc", "-std=c11", "-shared", "-fPIC", f"-I{ROOT}/plugins/include", str(tmp_path / "own/looks.c"), "-o", str(library)],
                   check=True)
    values, reasons, _ = scored(tmp_path, {"plugin": str(library)})
    assert None not in values and not reasons
    (tmp_path / "free.json").write_text(json.dumps({"plugin": str(library), "host": {"sandbox": False}}))
    done = thalweg("reward", "try", tmp_path / "free.json", tmp_path / "pictures")
    assert done.returncode == 2 and "died of SIGABRT" in done.stderr, done.stderr


def test_a_bundled_reward_gives_the_same_in_it(tmp_path):
    drawn = []
    for host in ({}, {"sandbox": False}):
        entry = {"plugin": str(BUILD / "plugins/color.so"), "isolation": "process", "host": host}
        drawn.append(scored(tmp_path, entry)[0])
    assert drawn[0] == drawn[1] and None not in drawn[0]


REFUSED = [({"files": ["absent.txt"]}, "/rewards/0/host/files/0", "no file or folder"),
           ({"writable": ["absent"]}, "/rewards/0/host/writable/0", "no file or folder"),
           ({"sandbox": False, "network": True}, "/rewards/0/host/network", "read by nothing"),
           ({"sandbox": False, "files": ["/"]}, "/rewards/0/host/files", "read by nothing"),
           ({"nework": True}, "/rewards/0/host/nework", "network"),
           ({"network": "yes"}, "/rewards/0/host/network", "")]


@pytest.mark.parametrize("host, place, said", REFUSED, ids=str)
def test_what_is_wrong_is_refused_at_its_place(files, tmp_path, host, place, said):
    job = score_job(files, {"plugin": str(ZOO / "good.so"), "host": host}, output=str(tmp_path / "run"))
    done = validated(write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and done.stderr.startswith(f"thalweg: {place}") and said in done.stderr, done.stderr


def test_where_the_kernel_cannot_it_is_said_and_the_run_goes_on(files, tmp_path):
    """As under a kernel without Landlock and filters: both calls answered with ENOSYS by a filter around the program."""
    filtered = tmp_path / "filtered.c"
    filtered.write_text(r"""
#include <errno.h>
#include <seccomp.h>
#include <unistd.h>
int main(int argc, char** argv) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  for (int call = 444; call <= 446; ++call) seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0);
  return argc > 1 && seccomp_load(filter) == 0 ? execv(argv[1], argv + 1) : 1;
}
""")
    built = subprocess.run(["cc", str(filtered), "-o", str(tmp_path / "filtered"), "-lseccomp"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    job = {**score_job(files, {"plugin": str(ZOO / "good.so")}, output=str(tmp_path / "run")), "prompts": {"texts": list("abcd")}, "batch_size": 1}
    done = subprocess.run([tmp_path / "filtered", PROGRAM, "run", write_job(tmp_path / "job.json", job)], capture_output=True, text=True,
                          env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    (event,) = [event for event in events if event["type"] == "reward_log"]
    assert event["level"] == "warn" and "sandbox: Landlock is not available here" in event["message"]
