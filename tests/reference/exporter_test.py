"""What export_reward.py refuses: for each of its checks a network that fails that one."""

import json
import subprocess
import sys

import pytest
import torch
from tokenizers import normalizers
from torch import nn
from transformers import CLIPTokenizer

import exported_networks
import parity_tool
from exported_folders import folders, processor, tokenizer  # noqa: F401  (fixtures)
from exported_networks import PROVENANCE, ready
from program import PROGRAM

from export_reward import Refused, export_reward


class Trained(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * x.mean((1, 2, 3))[:, None]


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls.add_(1)
        return x.mean((1, 2, 3))[:, None] + 0 * self.calls


class Of(nn.Module):
    """A network that is one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class WithWeight(nn.Module):
    def __init__(self, weight, use):
        super().__init__()
        self.register_buffer("weight", weight)
        self.use = use

    def forward(self, x):
        return self.use(x, self.weight)


def mean(x):
    return x.mean((1, 2, 3))[:, None]


def branches_on_export(x):
    return mean(x) + (0.5 if torch.compiler.is_exporting() else 0.0)


REFUSED = {
    "trains": (1, lambda: Trained().eval(), {}, "requires_grad_(False)"),
    "in_training_mode": (1, lambda: nn.Sequential(Of(mean), nn.Dropout(0.1)), {}, "eval()"),
    "keeps_state": (1, Counting, {}, "calls"),
    "draws_noise": (1, lambda: Of(lambda x: mean(x) + 1e-9 * torch.rand_like(x[:, :1, 0, 0])), {}, "random"),
    "two_columns": (1, lambda: Of(lambda x: x.mean((2, 3))), {}, "dimensions"),
    "compares_rows": (2, lambda: Of(lambda x: mean(x) - mean(x).mean()), {}, "rows"),
    "fixed_batch": (2, lambda: Of(lambda x: mean(x) if x.shape[0] < 5 else mean(x) + 0 * x.new_ones(7, 1)), {}, "batch"),
    "other_when_exported": (3, lambda: Of(branches_on_export), {}, "0.5"),
    "not_a_number": (3, lambda: Of(lambda x: mean(x) / (x.shape[2] - 40.0) * (x.shape[2] - 40.0)), {}, ""),
    "fixed_size": (4, lambda: Of(lambda x: x.reshape(x.shape[0], 3 * 64 * 48)[:, :1]), {}, "resize"),
    "sorts_by_hand": (5, lambda: Of(lambda x: torch.linalg.svdvals(x[:, 0])[:, :1]), {}, "operators.inc"),
    "repeats_by_a_tensor": (5, lambda: WithWeight(torch.tensor([1, 2, 0]), lambda x, w: torch.repeat_interleave(
        x.mean((2, 3)), w, 1, output_size=3)[:, :1]), {}, "operators.inc"),
    "scales_of_their_own": (5, lambda: Of(lambda x: mean(torch.ops.aten._upsample_bilinear2d_aa(x, [16, 16], False, 2.0, 2.0))), {},
                            "scales"),
    "asks_a_number": (5, lambda: Of(lambda x: mean(x) * (2 if x.sum().item() > 0 else 1)), {}, "torch.export"),
    "detached": (6, lambda: Of(lambda x: mean(x + 3 * x.detach())), {}, "differentiable=False"),
    "weights_of_nan": (8, lambda: WithWeight(torch.tensor([1.0, float("nan")]), lambda x, w: mean(x) * w[:1]), {}, "NaN"),
    "float64": (9, lambda: WithWeight(torch.ones(1, dtype=torch.float64), lambda x, w: mean(x) * w), {}, "float64"),
    "no_licence": (10, lambda: Of(mean), {"licence": " "}, "licence"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_is_refused_by_the_check_that_it_fails(name, tmp_path):
    check, make, changes, said = REFUSED[name]
    module = make()
    if check != 1 or name in ("keeps_state", "draws_noise", "two_columns"):
        module.eval()
    with pytest.raises(Refused) as refused:
        export_reward(module, tmp_path / "folder", program=str(PROGRAM), **{**PROVENANCE, **changes})
    assert refused.value.check == check and said in str(refused.value), refused.value
    assert list(tmp_path.iterdir()) == []  # and leaves nothing


def test_interpolation_by_factors_is_written_without_sizes(folders):
    folder, _, _ = folders("by_factors")
    nodes = [node for node in json.loads((folder / "graph.json").read_text())["nodes"] if "upsample" in node["op"]]
    assert [(node["op"].removeprefix("aten::"), node["args"]["scale_factors"]) for node in nodes] == [
        ("_upsample_bicubic2d_aa.vec", [1.5, 0.5]), ("_upsample_bilinear2d_aa.vec", [2.0, 3.0])]
    assert all(node["args"]["output_size"] is None for node in nodes)


def test_what_is_wrong_with_the_text_is_refused(tokenizer, tmp_path):
    for vocabulary, changes, said in ((60, {}, "60 rows"), (102, {"text_length": 8}, "takes 8")):
        module = ready(exported_networks.Masked(vocabulary))
        with pytest.raises(Refused) as refused:
            export_reward(module, tmp_path / "folder", program=str(PROGRAM), tokenizer=tokenizer, token_mask=True,
                          **{**PROVENANCE, **changes})
        assert refused.value.check == 7 and said in str(refused.value), refused.value


def test_what_only_the_program_sees_is_check_11(tokenizer, tmp_path):
    """A tokenizer with a rule that the program does not have: its goldens are others, or it refuses the folder."""
    tokenizer.save_pretrained(tmp_path / "odd")
    odd = CLIPTokenizer.from_pretrained(tmp_path / "odd")
    odd._tokenizer.normalizer = normalizers.Sequence([odd._tokenizer.normalizer, normalizers.Replace("square", "circle")])
    with pytest.raises(Refused) as refused:
        export_reward(ready(exported_networks.Masked()), tmp_path / "folder", program=str(PROGRAM), tokenizer=odd, token_mask=True, **PROVENANCE)
    assert refused.value.check == 11, refused.value
    assert not (tmp_path / "folder").exists()


def test_a_program_that_is_not_there_is_check_11(tmp_path):
    with pytest.raises(Refused) as refused:
        export_reward(Of(mean).eval(), tmp_path / "folder", program="/no/such/thalweg", **PROVENANCE)
    assert refused.value.check == 11 and "/no/such/thalweg" in str(refused.value)


def test_the_script_says_what_each_check_found(tmp_path):
    (tmp_path / "mine.py").write_text("import torch\nclass Bright(torch.nn.Module):\n    def forward(self, x):\n"
                                      "        return x.mean((1, 2, 3))[:, None]\n"
                                      "def make():\n    return {'module': Bright().eval(), 'licence': 'CC0-1.0', 'source': 'a test'}\n"
                                      "def bad():\n    return {**make(), 'source': ''}\n")
    script = [sys.executable, parity_tool.ROOT / "plugins/exported/export_reward.py"]
    done = subprocess.run([*script, tmp_path / "mine.py", tmp_path / "out", "--program", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(i) for i in range(1, 12)]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"reward.json", "graph.json", "weights.safetensors", "golden", "checks.json"}
    assert len(list((tmp_path / "out/golden").glob("*.png"))) == 8
    done = subprocess.run([*script, f"{tmp_path}/mine.py:bad", tmp_path / "no", "--program", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 1 and "check 10 (provenance)" in done.stderr and not (tmp_path / "no").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no exported reward"):
        export_reward(Of(mean).eval(), tmp_path / "photos", program=str(PROGRAM), **PROVENANCE)
    assert (tmp_path / "photos/mine.txt").read_text() == "mine"
