"""Runs tests/parity of the build on one component and hands back its tensors."""

import os
import pathlib
import subprocess

from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("THALWEG_BUILD", ROOT / "build" / "release"))


def tool_of(kind):
    """tests/tools/wan_parity_main.cpp, or parity_main.cpp, which has all other kinds."""
    return BUILD / "tests" / ("wan_parity" if kind.startswith(("wan-", "unipc")) else "parity")


def run(kind, folder, inputs, scratch):
    """Tensors that `parity KIND` computes for `inputs` from the component in `folder`."""
    source, target = scratch / "in.safetensors", scratch / "out.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in inputs.items()}, source)
    done = subprocess.run([tool_of(kind), kind, folder, source, target], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return load_file(target)


def max_error(ours, theirs):
    """Largest absolute difference; the shapes and dtypes must agree."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert ours.dtype == theirs.dtype, (ours.dtype, theirs.dtype)
    return (ours.double() - theirs.double()).abs().max().item()
