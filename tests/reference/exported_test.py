"""Networks of PyTorch as rewards: the exporter, and the plugin that runs what it wrote, against eager."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import normalizers
from torch import nn
from transformers import CLIPTokenizer

import clip_folder
import exported_networks
import parity_tool
from clip_folder import PROMPTS, random_frames
from exported_networks import NETWORKS, PROVENANCE, ready
from program import PROGRAM, run_job, thalweg, write_job

from export_reward import Export, Refused, export_reward  # noqa: E402  (exported_networks puts it on the path)

VALUES, GRADIENTS = 1e-6, 1e-5
PLUGIN = parity_tool.BUILD / "plugins/exported.so"
SIZES = [(1, 64, 48), (3, 40, 80), (5, 33, 33), (11, 17, 100)]


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    clip_folder.make_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def processor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processor")
    clip_folder.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32, resample=3).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory, tokenizer, processor):
    """name -> (folder, module, the export), made when first asked for."""
    root, made = tmp_path_factory.mktemp("exported"), {}

    def folder(name):
        if name not in made:
            kind, arguments = NETWORKS[name]
            arguments = {**PROVENANCE, "max_batch": 16, **arguments}
            if arguments.get("tokenizer"):
                arguments["tokenizer"] = tokenizer
            if arguments.get("processor"):
                arguments["processor"] = str(processor)
            module = ready(kind())
            export_reward(module, root / name, program=str(PROGRAM), **arguments)
            made[name] = (root / name, module, Export(module, **arguments))
        return made[name]

    return folder


def reward(scratch, config, frames, prompts, cotangent=None):
    """The finished process of tests/reward, and what it wrote. frames: [B,F,3,H,W]."""
    inputs = {"frames": frames.contiguous()} | ({} if cotangent is None else {"cotangent": cotangent})
    save_file(inputs, scratch / "in.safetensors")
    (scratch / "call.json").write_text(json.dumps({"config": config, "prompts": prompts}))
    target = scratch / "out.safetensors"
    target.unlink(missing_ok=True)
    done = subprocess.run([parity_tool.BUILD / "tests/reward", PLUGIN, scratch / "call.json", scratch / "in.safetensors", target],
                          capture_output=True, text=True, timeout=300)
    return done, load_file(target) if target.exists() else {}


def eager(export, frames, prompts, cotangent):
    """Values [B,K] and gradient of the module itself, for frames [B,F,3,H,W]."""
    x = frames.clone().requires_grad_(True)
    count = frames.shape[1]
    rows = x if export.kind == "videos" else x.flatten(0, 1)
    if export.preprocess != "graph":
        rows = export._processed(rows)
    texts = export.tokens([p for p in prompts for _ in range(1 if export.kind == "videos" else count)]) if export.tokenizer else []
    values = export.module(rows, *texts)
    if export.kind != "videos":
        values = values.view(frames.shape[0], count, -1).mean(1)
    (values * cotangent).sum().backward()
    return values.detach(), x.grad


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_gradients_are_those_of_eager(name, size, folders, tmp_path):
    folder, module, export = folders(name)
    batch, height, width = size
    count = 3 if export.kind == "videos" else 2 if batch == 3 else 1
    frames = random_frames(batch, batch * count, height, width).view(batch, count, 3, height, width)
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(batch)]
    cotangent = torch.randn(batch, len(export.dimensions), generator=torch.Generator().manual_seed(2))
    values, gradient = eager(export, frames, prompts, cotangent)
    done, ours = reward(tmp_path, {"path": str(folder)}, frames, prompts, cotangent)
    assert done.returncode == 0, done.stderr
    smooth = 2e-6 if export.preprocess == "smooth" else VALUES  # two ways to resize
    assert parity_tool.max_error(ours["values"], values) <= smooth
    scale = gradient.abs().max().item()
    assert scale > 0 and parity_tool.max_error(ours["gradient"], gradient) <= min(GRADIENTS, 1e-3 * scale)


def test_exact_preprocessing_is_transformers_bit_for_bit(processor, tmp_path):
    module = ready(exported_networks.Tower(), 4)
    arguments = {**PROVENANCE, "preprocess": "exact", "processor": str(processor)}
    export_reward(module, tmp_path / "tower", program=str(PROGRAM), **arguments)
    frames = (random_frames(3, 4, 50, 41) * 255).round() / 255
    done, ours = reward(tmp_path, {"path": str(tmp_path / "tower")}, frames[:, None], [""] * 4)
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        theirs = module(Export(module, **arguments)._processed(frames))
    assert parity_tool.max_error(ours["values"], theirs) <= VALUES
    done, _ = reward(tmp_path, {"path": str(tmp_path / "tower")}, frames[:, None], [""] * 4, torch.ones(4, 1))
    assert done.returncode == 2 and "no gradient" in done.stderr


def test_one_row_at_a_time_does_not_depend_on_the_batch(folders, tmp_path):
    folder, _, _ = folders("clip_like")
    frames = random_frames(5, 6, 40, 40)[:, None]
    prompts = [PROMPTS[i % 4] for i in range(6)]
    config = {"path": str(folder), "batch": 1}
    _, together = reward(tmp_path, config, frames, prompts)
    for i in (0, 4):
        _, alone = reward(tmp_path, config, frames[i:i + 1], prompts[i:i + 1])
        assert torch.equal(alone["values"], together["values"][i:i + 1])
    _, by_eight = reward(tmp_path, {"path": str(folder)}, frames, prompts)
    assert parity_tool.max_error(by_eight["values"], together["values"]) <= VALUES


def test_another_dtype_than_it_was_exported_in(folders, tmp_path):
    """Weights, frames and dtypes in the graph become bfloat16; the scores come back as float32."""
    folder, _, _ = folders("group_norm_cnn")
    frames, prompts = random_frames(6, 4, 40, 40)[:, None], PROMPTS
    _, single = reward(tmp_path, {"path": str(folder)}, frames, prompts, torch.ones(4, 2))
    done, half = reward(tmp_path, {"path": str(folder), "dtype": "bfloat16"}, frames, prompts, torch.ones(4, 2))
    assert done.returncode == 0, done.stderr
    for what, tolerance in (("values", 0.02), ("gradient", 0.1)):
        scale = single[what].abs().max().item()
        assert 0 < parity_tool.max_error(half[what], single[what]) <= tolerance * scale
    folder, _, _ = folders("clip_like")  # the resize has no kernel in bfloat16: that is said, by node
    done, _ = reward(tmp_path, {"path": str(folder), "dtype": "bfloat16"}, frames, prompts)
    assert done.returncode == 2 and "(aten::_upsample_bicubic2d_aa.vec)" in done.stderr, done.stderr


def test_sizes_it_was_not_exported_for_are_refused(folders, tmp_path):
    folder, _, _ = folders("clip_like")
    done, _ = reward(tmp_path, {"path": str(folder)}, torch.rand(1, 1, 3, 8, 40), ["a"])
    assert done.returncode == 2 and "pictures of 8 x 40" in done.stderr and "16 to 1024" in done.stderr, done.stderr
    folder, _, _ = folders("flicker")
    done, _ = reward(tmp_path, {"path": str(folder)}, torch.rand(1, 17, 3, 32, 32), ["a"])
    assert done.returncode == 2 and "videos of 17 frames" in done.stderr, done.stderr


def test_a_sample_without_numbers_spoils_no_other(folders, tmp_path):
    folder, _, _ = folders("group_norm_cnn")
    frames = random_frames(7, 3, 32, 32)[:, None].contiguous()
    _, clean = reward(tmp_path, {"path": str(folder)}, frames[[0, 2]], ["a"] * 2)
    frames[1, 0, 0, 0, 0] = float("nan")
    done, ours = reward(tmp_path, {"path": str(folder)}, frames, ["a"] * 3)
    assert done.returncode == 0, done.stderr
    assert torch.equal(ours["values"][[0, 2]], clean["values"]) and ours["values"][1].isnan().all()


@pytest.mark.parametrize("name", ["clip_like", "group_norm_cnn", "small_vit", "flicker"])
def test_the_validator_finds_nothing(name, folders):
    folder, _, export = folders(name)
    frames = ["--frames", "4"] if export.kind == "videos" else []
    done = thalweg("plugins", "--validate", PLUGIN, "--config", json.dumps({"path": str(folder)}), "--height", "40", "--width", "36",
                   *frames, "--json")
    report = json.loads(done.stdout)
    broken = [clause for clause in report["clauses"] if clause["outcome"] == "failed"]
    assert done.returncode == 0 and broken == [], broken
    clauses = {clause["clause"]: clause["outcome"] for clause in report["clauses"]}
    assert clauses["gradient.finite-differences"] == "ok" and clauses["score.nan-input"] == "ok"


# The exporter's refusals: a network for each check that fails that one.


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


# In jobs, beside the same function as a Python reward.

PYTHON = """import sys
sys.path[:0] = [{here!r}, {root!r}]
import torch
torch.set_num_threads(1)
import exported_networks
module = exported_networks.ready(exported_networks.{kind}())
dimensions = {dimensions!r}
def score(images: torch.Tensor):
    return module(images)
"""


def entries(tmp_path, folders, name):
    folder, module, export = folders(name)
    file = tmp_path / "mine.py"
    here = str(parity_tool.ROOT / "tests/reference")
    file.write_text(PYTHON.format(here=here, root=str(parity_tool.ROOT), kind=type(module).__name__, dimensions=export.dimensions))
    python = {"plugin": "python", "config": {"file": str(file), "interpreter": sys.executable, "gradient": "autograd"}}
    return {"exported": {"plugin": "exported", "config": {"path": str(folder)}}, "mine": python}


def rewards_of(run):
    return [row["reward"] for row in map(json.loads, (run / "scores.jsonl").read_text().splitlines())]


TINY = {"path": str(parity_tool.ROOT / "assets/models/tiny-sd3"), "max_sequence_length": 1}


def test_a_job_scores_as_with_the_python_reward(folders, tmp_path):
    save_file({"frames": random_frames(8, 9, 48, 40)[:, None].contiguous()}, tmp_path / "frames.safetensors")
    both = entries(tmp_path, folders, "group_norm_cnn")
    scored = {name: rewards_of(run_job(tmp_path / name, {"job": "score", "frames": str(tmp_path / "frames.safetensors"),
                                                         "prompts": {"texts": list("abcdefghi")}, "rewards": [entry]}))
              for name, entry in both.items()}
    assert scored["exported"] == pytest.approx(scored["mine"], abs=VALUES)
    assert len(set(scored["exported"])) == 9


def test_steering_follows_the_same_gradient(folders, tmp_path):
    drawn = {}
    for name, entry in entries(tmp_path, folders, "group_norm_cnn").items():
        job = {"job": "sample", "model": TINY, "prompts": {"texts": ["a red circle", "two blue squares"]},
               "sampler": {"name": "memoryless", "steps": 3, "height": 32, "width": 32},
               "steering": [{"name": "dps", "lambda": 3.0}], "rewards": [entry], "seed": 3}
        drawn[name] = rewards_of(run_job(tmp_path / name, job))
    assert drawn["exported"] == pytest.approx(drawn["mine"], abs=GRADIENTS)


def test_alignment_differentiates_through_it(folders, tmp_path):
    """ReFL on the embedded model: both rewards give the same curve, and it moves."""
    curves, prompts = {}, {}
    for part, shape in (("train", "circle"), ("select", "square"), ("eval", "triangle")):
        prompts[part] = str(tmp_path / f"{part}.txt")
        (tmp_path / f"{part}.txt").write_text("".join(f"a {colour} {shape}\n" for colour in ("red", "green", "blue", "yellow")))
    for name, entry in entries(tmp_path, folders, "group_norm_cnn").items():
        job = {"job": "align", "model": {**TINY, "lora": {"rank": 4, "alpha": 8}}, 
               "prompts": prompts,
               "sampler": {"name": "flow_ode", "steps": 3, "guidance_scale": 1.0, "height": 32, "width": 32,
                           "schedule": {"name": "shifted", "shift": 1.0}}, "rewards": [entry],
               "method": {"name": "refl", "prompts_per_iteration": 4, "first_share": 0.5, "loss": {"name": "linear"}},
               "optimizer": {"name": "adamw", "learning_rate": 5e-3}, "iterations": 3, "seed": 0,
               "evaluate": {"every": 3, "steps": 2, "pictures": 0}}
        run = run_job(tmp_path / name, job)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        curves[name] = [row["reward"] for row in rows if "reward" in row]
    assert len(curves["exported"]) >= 3 and curves["exported"] == pytest.approx(curves["mine"], abs=1e-4)
    assert len(set(curves["exported"])) > 1


def test_mistakes_are_refused_at_their_place(folders, tmp_path):
    folder, _, _ = folders("centre_square")
    for config, place, said in (({"path": "no/such/folder"}, "/rewards/0/config/path", "reward.json"), ({}, "/rewards/0/config/path", "missing"),
                                ({"path": str(folder), "btach": 3}, "/rewards/0/config/btach", "batch"),
                                ({"path": str(folder), "dtype": "int8"}, "/rewards/0/config/dtype", "int8")):
        save_file({"frames": torch.rand(1, 1, 3, 32, 32)}, tmp_path / "one.safetensors")
        job = {"job": "score", "frames": str(tmp_path / "one.safetensors"), "prompts": {"texts": ["a"]}, "output": str(tmp_path / "run"),
               "rewards": [{"plugin": "exported", "config": config}]}
        done = thalweg("run", write_job(tmp_path / "job.json", job))
        assert done.returncode == 2 and place in done.stderr and said in done.stderr, done.stderr
