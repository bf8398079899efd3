"""`align` on pictures that are there: captions (sft) and compared pairs (flow_dpo). No rollout, and every input checked."""

import json

import pytest
from job_errors_test import assert_refused
from PIL import Image
from program import run_job, thalweg, write_job

PROMPTS = ["a red circle", "two blue squares", "a green triangle", "a yellow circle"]
SUPERVISED = {"name": "sft", "data": {"name": "pictures", "caption_dropout": 0.25}, "prompts_per_iteration": 4,
              "updates": 2, "times_per_sample": 2}
PAIRS = {"name": "flow_dpo", "data": {"name": "pairs"}, "prompts_per_iteration": 2, "updates": 1, "times_per_sample": 2,
         "tie_theta": 2.0, "refresh": 1}
DISCRIMINATOR = {"name": "dmd2", "prompts_per_iteration": 4, "updates": 2, "guidance_scale": 1.5,
                 "critic": {"updates": 1, "alone": 0, "optimizer": {"learning_rate": 0.003}},
                 "discriminator": {"name": "pictures", "width": 8, "optimizer": {"learning_rate": 0.003}}}
SIZE = {"height": 32, "width": 32}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Eight pictures of the embedded model, two a prompt, with a file for each kind of training."""
    folder = tmp_path_factory.mktemp("pictures") / "run"
    run_job(folder, {"job": "sample", "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1},
                     "prompts": {"texts": PROMPTS}, "images_per_prompt": 2,
                     "sampler": {"name": "flow_ode", "steps": 4, **SIZE}, "seed": 5})
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png") if path.name != "grid.png")
    assert len(names) == 8
    lines = [{"file_name": name, "prompt": PROMPTS[i // 2]} for i, name in enumerate(names)]
    pairs = [{"prompt": prompt, "chosen": names[2 * i], "rejected": names[2 * i + 1]} for i, prompt in enumerate(PROMPTS)]
    pairs[1]["margin"], pairs[2]["tie"] = 0.5, True
    write(folder / "captions.jsonl", lines)
    write(folder / "pairs.jsonl", pairs)
    (folder / "prompts.txt").write_text("a purple square\na blue circle\n")
    return folder


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def job(drawn, method, train, **changes):
    held_out = str(drawn / "prompts.txt")
    return {"job": "align", "model": {"path": "assets/models/tiny-sd3", "max_sequence_length": 1,
                                      "lora": {"rank": 2, "alpha": 4}},
            "prompts": {"train": str(train), "select": held_out, "eval": held_out},
            "sampler": {"steps": 4, **SIZE}, "rewards": [{"plugin": "color"}], "method": method, "iterations": 3,
            "optimizer": {"learning_rate": 0.003}, "evaluate": {"every": 3, "steps": 2, "pictures": 2},
            "checkpoint": {"every": 1, "keep": 3}, "parallel": {"workers": 1, "lanes": 2, "micro_batch": 2}, **changes}


def train_rows(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.startswith(("time_", "memory_"))} for row in rows
            if row["kind"] == "train"]


@pytest.mark.parametrize("method,file", [(SUPERVISED, "captions.jsonl"), (PAIRS, "pairs.jsonl")])
def test_a_run_draws_nothing_and_learns(method, file, drawn, tmp_path):
    whole = job(drawn, method, drawn / file)
    run = run_job(tmp_path / "one", whole)
    rows = train_rows(run)
    assert len(rows) == 3
    assert all(row["policy_loss"] > 0 and row["grad_norm"] > 0 and "reward" not in row for row in rows)
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "succeeded"
    assert (run / "report.html").is_file()
    # Any number of workers, and a stop on the way, give the same weights.
    two = run_job(tmp_path / "two", {**whole, "parallel": {**whole["parallel"], "workers": 2}})
    weights = (run / "pytorch_lora_weights.safetensors").read_bytes()
    assert (two / "pytorch_lora_weights.safetensors").read_bytes() == weights
    assert train_rows(two) == rows
    longer = {**whole, "iterations": 5}
    assert train_rows(run_job(tmp_path / "one", longer))[:3] == rows
    assert len(train_rows(tmp_path / "one")) == 5
    assert train_rows(run_job(tmp_path / "five", longer)) == train_rows(tmp_path / "one")


def distilled(drawn, tmp_path, train="captions.jsonl", **discriminator):
    few = {"name": "flow_ode", "steps": 4, "schedule": {"name": "shifted", "shift": 1.0}, **SIZE}
    method = {**DISCRIMINATOR, "discriminator": {**DISCRIMINATOR["discriminator"], **discriminator}}
    return job(drawn, method, drawn / train, sampler=few, evaluate={"every": 3, "steps": 4, "pictures": 2}, output=str(tmp_path / "out"))


def test_a_discriminator_sees_them_beside_rollouts(drawn, tmp_path):
    whole = distilled(drawn, tmp_path)
    run = run_job(tmp_path / "one", whole)
    rows = train_rows(run)
    assert len(rows) == 3 and all(row["discriminator_loss"] > 0 and row["discriminator_grad_norm"] > 0 for row in rows)
    two = run_job(tmp_path / "two", {**whole, "parallel": {**whole["parallel"], "workers": 2}})
    assert train_rows(two) == rows
    path = write_job(tmp_path / "job.json", whole)
    done = thalweg("plan", path, "--json", "--estimate")
    assert done.returncode == 0, done.stderr
    assert {"train", "rollout"} <= {phase["phase"] for phase in json.loads(done.stdout)["time"]["phases"]}


@pytest.mark.parametrize("train,changes,place,words", [
    ("prompts.txt", {}, "/prompts/train", ".jsonl"),
    ("pairs.jsonl", {}, "", 'line 1: has no "file_name"'),
    ("captions.jsonl", {"folder": "nowhere"}, "/method/discriminator/folder", "does not exist"),
    ("captions.jsonl", {"folder": "assets"}, "", "is not there"),
])
def test_a_discriminator_without_pictures_is_refused(train, changes, place, words, drawn, tmp_path):
    spoilt = distilled(drawn, tmp_path, train, **changes)
    for command in ("validate", "run"):
        assert_refused(thalweg(command, write_job(tmp_path / "job.json", spoilt)), place, words)


def test_it_is_planned(drawn, tmp_path):
    path = write_job(tmp_path / "job.json", {**job(drawn, SUPERVISED, drawn / "captions.jsonl"), "output": str(tmp_path / "out")})
    for mode in ["--estimate", "--measure"]:
        done = thalweg("plan", path, "--json", mode)
        assert done.returncode == 0, done.stderr
        plan = json.loads(done.stdout)
        phases = {phase["phase"] for phase in plan["time"]["phases"]}
        assert "train" in phases and not phases & {"rollout", "decode", "reward"}


def test_a_changed_picture_is_not_gone_on_with(drawn, tmp_path):
    for source in drawn.rglob("*.png"):
        target = tmp_path / source.relative_to(drawn)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    lines = (drawn / "captions.jsonl").read_text()
    (tmp_path / "captions.jsonl").write_text(lines)
    name = json.loads(lines.splitlines()[2])["file_name"]
    run = run_job(tmp_path / "run", job(drawn, SUPERVISED, tmp_path / "captions.jsonl"))
    Image.new("RGB", (32, 32), "red").save(tmp_path / name)
    changed = write_job(tmp_path / "again.json", {**job(drawn, SUPERVISED, tmp_path / "captions.jsonl", iterations=5),
                                                  "output": str(run)})
    assert_refused(thalweg("run", changed), "/prompts/train/2/file_name", "has changed")


@pytest.mark.parametrize("changes,place,words", [
    ({"sampler": {"steps": 4, "height": 16, "width": 32}}, "", "and /sampler/width and height are 32 x 16 pixels"),
    ({"sampler": {"steps": 4, "guidance_scale": 2.0, **SIZE}}, "/sampler/guidance_scale", "draws no samples to guide"),
    ({"method": {**SUPERVISED, "group_size": 4}}, "/method/group_size", "unknown key"),
    ({"method": {**SUPERVISED, "updates": 5}}, "/method/updates", "at most /method/prompts_per_iteration"),
    ({"method": {**SUPERVISED, "data": {"name": "pictures", "folder": "nowhere"}}}, "/method/data/folder", "does not exist"),
    ({"method": {**SUPERVISED, "data": {"name": "picture"}}}, "/method/data/name", 'did you mean "pictures"?'),
    ({"method": PAIRS}, "", 'line 1: has no "chosen"'),
    ({"method": {**SUPERVISED, "data": {"name": "pictures", "folder": "assets"}}}, "", "is not there"),
])
def test_what_does_not_fit_is_refused(changes, place, words, drawn, tmp_path):
    spoilt = {**job(drawn, SUPERVISED, drawn / "captions.jsonl"), **changes, "output": str(tmp_path / "out")}
    assert_refused(thalweg("run", write_job(tmp_path / "job.json", spoilt)), place, words)


@pytest.mark.parametrize("text,words", [
    ('{"prompt": "a"}\n', 'line 1: has no "file_name"'),
    ('{"prompt": "a", "file_name": ""}\n', '"file_name" must be the name of a file'),
    ('{"prompt": "a", "file_name": "gone.png"}\n', "gone.png is not there"),
    ('{"file_name": "lines.jsonl"}\n', 'must be an object with a text "prompt"'),
    ('{"prompt": "a", "file_name": "lines.jsonl"}\n', "lines.jsonl"),
    ("\n", "holds no prompt"),
])
def test_lines_that_name_no_picture_are_refused(text, words, drawn, tmp_path):
    (tmp_path / "lines.jsonl").write_text(text)
    spoilt = {**job(drawn, SUPERVISED, tmp_path / "lines.jsonl"), "output": str(tmp_path / "out")}
    assert_refused(thalweg("run", write_job(tmp_path / "job.json", spoilt)), "", words)


def test_prompts_without_pictures_are_refused(drawn, tmp_path):
    spoilt = {**job(drawn, SUPERVISED, drawn / "prompts.txt"), "output": str(tmp_path / "out")}
    assert_refused(thalweg("run", write_job(tmp_path / "job.json", spoilt)), "/prompts/train", "is no .jsonl file")


def test_pictures_of_any_size_are_cropped(drawn, tmp_path):
    for i, size in enumerate([(80, 40), (20, 50), (32, 32)]):
        Image.new("RGB", size, (40 * i, 90, 200)).save(tmp_path / f"{i}.png")
    write(tmp_path / "lines.jsonl", [{"prompt": "a", "file_name": f"{i}.png"} for i in range(3)])
    method = {**SUPERVISED, "data": {"name": "pictures", "fit": "crop"}}
    assert len(train_rows(run_job(tmp_path / "run", job(drawn, method, tmp_path / "lines.jsonl")))) == 3
