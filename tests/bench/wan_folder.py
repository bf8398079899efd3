"""A Wan 2.1 pipeline of the shape that assets/jobs/pretrain_tiny_wan.json trains, with random weights, for timing.

    python tests/bench/wan_folder.py FOLDER"""

import json
import pathlib
import sys

import diffusers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/reference"))

import tiny_wan  # noqa: E402


def make(folder):
    shape = json.loads((ROOT / "assets/jobs/pretrain_tiny_wan.json").read_text())["architecture"]
    tiny_wan.make_folder(folder, transformer=shape["transformer"], vae=shape["vae"], text=shape["text_encoder"],
                         scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**shape["scheduler"]))


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]))
