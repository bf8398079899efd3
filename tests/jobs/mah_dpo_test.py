"""MAH-DPO: every reward leaves a head of its own, and `loras` mixes them: by the job's weights to what the run evaluated."""

import json

import pytest
from program import run_job, thalweg, write_job
from resuming import make_files, short_job
from safetensors import safe_open
from safetensors.torch import load_file

LORA = "pytorch_lora_weights.safetensors"
HEADS = {"color_redness": 1.0, "jpeg_compressibility": 2.0}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("mah_dpo"))


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    job = short_job(files, "mah_dpo", iterations=3, evaluate={"every": 3, "steps": 3, "pictures": 0}, ema_decay=0.0)
    return run_job(tmp_path_factory.mktemp("mah_dpo") / "run", {**job, "optimizer": {"learning_rate": 0.01}})


def evaluation(folder, files, model):
    job = {"job": "evaluate", "model": {"path": str(files / "model"), "max_sequence_length": 1, **model},
           "prompts": {"path": str(files / "prompts.txt")}, "size": {"height": 16, "width": 16}, "steps": 3, "pictures": 0,
           "rewards": [{"plugin": "color"}, {"plugin": "jpeg", "weight": 2.0}], "seed": 11,
           "parallel": {"workers": 1, "micro_batch": 4}}
    return json.loads((run_job(folder, job) / "result.json").read_text())["evaluations"][0]


def head(run, name):
    return str(run / "heads" / name / LORA)


def test_the_heads_by_their_weights_are_what_was_evaluated(run, files, tmp_path):
    total = sum(HEADS.values())
    mixed = evaluation(tmp_path / "mixed", files,
                       {"loras": [{"path": head(run, name), "weight": w / total} for name, w in HEADS.items()]})
    result = json.loads((run / "result.json").read_text())["eval"]
    whole = evaluation(tmp_path / "whole", files, {"lora": {"path": str(run / LORA)}})
    base = evaluation(tmp_path / "base", files, {})
    for name, row in result.items():
        assert whole[name] == row["after"] != row["before"]
        assert mixed[name] == pytest.approx(row["after"], abs=1e-5)
    assert abs(base["reward"] - result["reward"]["after"]) > 1e-4  # the bound means something


def test_one_of_several_is_that_one(run, files, tmp_path):
    first, second = (head(run, name) for name in HEADS)
    alone = evaluation(tmp_path / "alone", files, {"lora": {"path": first}})
    assert evaluation(tmp_path / "hot", files, {"loras": [{"path": first}, {"path": second, "weight": 0.0}]}) == alone
    assert alone != evaluation(tmp_path / "other", files, {"lora": {"path": second}})


def test_a_head_is_a_block_of_the_ranks(run):
    whole, total = load_file(run / LORA), sum(HEADS.values())
    for index, (folder, weight) in enumerate(HEADS.items()):
        part = load_file(head(run, folder))
        assert part.keys() == whole.keys()
        for name, tensor in part.items():
            rows = whole[name].chunk(2, dim=0 if "lora_A" in name else 1)[index]
            assert (tensor == rows).all()
        with safe_open(head(run, folder), "pt") as file:
            metadata = file.metadata()
        config = json.loads(metadata["lora_adapter_metadata"])
        assert config["transformer.r"] == 2 and config["transformer.lora_alpha"] == pytest.approx(8 / 2 / (weight / total))
        assert metadata["thalweg.head"] == folder.replace("_", "/", 1)
        assert float(metadata["thalweg.head_weight"]) == pytest.approx(weight / total)


def test_a_stopped_run_exports_its_heads(run, tmp_path):
    assert thalweg("export", run, "--to", tmp_path / "out").returncode == 0
    for name in HEADS:
        assert (tmp_path / "out/heads" / name / LORA).read_bytes() == (run / "heads" / name / LORA).read_bytes()


@pytest.mark.parametrize("model,place", [({"lora": None}, "/model/lora: "), ({"lora": {"rank": 3}}, "/model/lora/rank: "),
                                         ({"lora": {"rank": 4, "rank_pattern": {"attn.to_q": 5}}}, "/model/lora/rank_pattern: ")])
def test_what_cannot_be_cut_is_refused(model, place, files, tmp_path):
    job = short_job(files, "mah_dpo", output=str(tmp_path / "out"))
    job["model"] = {key: value for key, value in {**job["model"], **model}.items() if value is not None}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and place in done.stderr


def test_a_file_of_another_model_is_refused_at_its_place(run, files, tmp_path):
    job = {"job": "sample", "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1,
                                      "loras": [{"path": head(run, "color_redness")}]},
           "prompts": {"texts": ["a red circle"]}, "sampler": {"height": 64, "width": 64, "steps": 1},
           "output": str(tmp_path / "out")}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and "/model/loras/0/path: " in done.stderr
