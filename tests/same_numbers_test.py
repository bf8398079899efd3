"""The comparison of two builds finds what differs: a number, a tensor, a picture, a file that is missing."""
import json
import struct

import same_numbers


def tensors(path, **values):
    header, data = {}, b""
    for name, numbers in values.items():
        block = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": [len(numbers)], "data_offsets": [len(data), len(data) + len(block)]}
        data += block
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def run_folder(folder, reward=0.5, weight=1.0, state="policy", time=3.0, picture=b"png"):
    tensors(folder / "lora.safetensors", a=[weight, 2.0])
    tensors(folder / "checkpoint-3" / f"{state}.safetensors", a=[weight, 2.0])
    (folder / "samples").mkdir()
    (folder / "samples" / "0.png").write_bytes(picture)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "reward": reward, "time_s": time}) + "\n")
    (folder / "result.json").write_text(json.dumps({"status": "succeeded", "time_cpu_s": time, "memory_peak_bytes": time}))
    return same_numbers.left_by(folder)


def test_finds_what_differs_and_nothing_else(tmp_path):
    one = run_folder(tmp_path / "one")
    assert list(same_numbers.differences(one, run_folder(tmp_path / "later", time=9.0, state="method"))) == []
    assert list(same_numbers.differences(one, run_folder(tmp_path / "metric", reward=0.25))) == [
        "metrics.jsonl row 0: reward: 0.5 and 0.25"]
    assert list(same_numbers.differences(one, run_folder(tmp_path / "weight", weight=1.0000001))) == [
        "checkpoint-3/tensors", "lora.safetensors: a"]
    assert list(same_numbers.differences(one, run_folder(tmp_path / "picture", picture=b"gnp"))) == ["samples/0.png"]
    less = {name: value for name, value in one.items() if name != "lora.safetensors"}
    assert list(same_numbers.differences(one, less)) == ["lora.safetensors is missing"]
