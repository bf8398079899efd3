"""CPU time of an exported CLIP-like scorer beside the same network in eager PyTorch: one thread each, in turn, in one run.

    .deps/venv/bin/python tests/bench/exported_reward.py [--rounds 9]

Processor time, so that a busy machine says the same. A round is 20 calls of each side, forward and forward with the gradient by the frames, for 8 pictures; the ratio is that of the
medians over rounds. The plugin's time is that of the whole reward: copies, tokens and checks included.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "reference"))
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import CLIPTokenizer  # noqa: E402

import clip_folder  # noqa: E402
import exported_networks  # noqa: E402
import parity_tool  # noqa: E402
from export_reward import export_reward  # noqa: E402

BATCH, CALLS = 8, 20
NETWORKS = {"small": dict(), "base": dict(width=256, side=64, layers=6)}


def eager_seconds(module, frames, tokens, cotangent):
    times = {"score": [], "gradient": []}
    for _ in range(CALLS):
        begin = time.process_time()
        with torch.no_grad():
            module(frames, tokens)
        times["score"].append(time.process_time() - begin)
    for _ in range(CALLS):
        begin = time.process_time()
        x = frames.clone().requires_grad_(True)
        torch.autograd.grad(module(x, tokens), x, cotangent)
        times["gradient"].append(time.process_time() - begin)
    return times


def measure(name, scratch, rounds):
    clip_folder.make_tokenizer(scratch / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(scratch / "tokenizer")
    module = exported_networks.ready(exported_networks.ClipLike(**NETWORKS[name]))
    export_reward(module, scratch / name, licence="none", source="random weights", tokenizer=tokenizer,
                  program=str(parity_tool.BUILD / "thalweg"))
    frames = clip_folder.random_frames(1, BATCH, 96, 96)
    prompts = [clip_folder.PROMPTS[i % 4] for i in range(BATCH)]
    tokens = tokenizer(prompts, padding="max_length", max_length=clip_folder.LENGTH, return_tensors="pt").input_ids
    cotangent = torch.ones(BATCH, 1)
    save_file({"frames": frames[:, None].contiguous(), "cotangent": cotangent}, scratch / "in.safetensors")
    (scratch / "call.json").write_text(json.dumps({"config": {"path": str(scratch / name)}, "prompts": prompts, "repeat": CALLS}))
    torch.set_num_threads(1)
    ours, theirs = {"score": [], "gradient": []}, {"score": [], "gradient": []}
    for _ in range(rounds):
        done = subprocess.run([parity_tool.BUILD / "tests/reward", parity_tool.BUILD / "plugins/exported.so", scratch / "call.json",
                               scratch / "in.safetensors", scratch / "out.safetensors"], capture_output=True, text=True, check=True)
        for side, times in ((ours, json.loads(done.stdout)), (theirs, eager_seconds(module, frames, tokens, cotangent))):
            for what in side:
                side[what].append(statistics.median(times[what]))
    for what in ours:
        a, b = (statistics.median(side[what]) * 1e3 for side in (ours, theirs))
        print(f"| {name}, {what} | {a:.2f} ms | {b:.2f} ms | {a / b:.2f} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print("| network, call | plugin | eager | ratio |\n|---|---|---|---|")
    for name in NETWORKS:
        with tempfile.TemporaryDirectory() as scratch:
            measure(name, pathlib.Path(scratch), rounds)


if __name__ == "__main__":
    main()
