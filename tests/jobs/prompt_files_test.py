"""Files of prompts: which endings are read and how, what is no prompt, what is said of prompts that are cut."""

import json

import pytest
import tiny_sd3
from job_errors_test import assert_refused
from laboratory import LINE
from mixtures import LABORATORY
from program import run_job, thalweg, validated, write_job
from transformers import AutoTokenizer

RED = [{"plugin": "color", "config": {"channel": "red"}}]


def job_of(path, **keys):
    return {"job": "sample", "model": {"path": str(LABORATORY / "line")}, "prompts": {"path": str(path)},
            "sampler": {"name": "flow_ode", "steps": 1, **LINE}, "rewards": RED, "save_images": False,
            "output": str(path.parent / "run"), **keys}


def prompts_of(path):
    run = run_job(path.parent / "run", job_of(path))
    return [json.loads(line)["prompt"] for line in (run / "scores.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["p.txt", "p.TXT", "prompts"])
def test_text_files(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"a red circle\r\n\r\n \t\r\n  two  \n\n{\"prompt\": 1}\n\x20\n")
    assert prompts_of(path) == ["a red circle", "  two  ", '{"prompt": 1}']


@pytest.mark.parametrize("name", ["p.jsonl", "p.JSONL", "p.JsonL"])
def test_json_lines(name, tmp_path):
    path = tmp_path / name
    path.write_text('{"prompt": "a"}\n  \n{"tag": [1, {}], "prompt": ""}\r\n')
    assert prompts_of(path) == ["a", ""]


@pytest.mark.parametrize("name", ["p.json", "p.csv", "p.CSV", "p.tsv", "p.parquet", "p.yaml", "p.jsonl.gz", "p.txt~"])
def test_other_files_are_not_read_as_text(name, tmp_path):
    path = tmp_path / name
    path.write_text('[\n"a",\n"b"\n]\n')
    done = validated(write_job(tmp_path / "job", job_of(path)))
    assert_refused(done, "/prompts/path: ", "files of prompts end with .txt (a prompt a line) or .jsonl")
    job = {"job": "align", "model": {"path": str(LABORATORY / "line")}, "rewards": RED, "iterations": 1,
           "method": {"name": "diffusion_nft"}, "output": str(tmp_path / "run"),
           "prompts": {part: str(path) for part in ("train", "select", "eval")}}
    assert_refused(validated(write_job(tmp_path / "job", job)), "/prompts/train: ", "not with .")


@pytest.mark.parametrize("text,words", [(b"\xef\xbb\xbfa red circle\n", "starts with a byte order mark"),
                                        (b"\xff\xfea\0", "is not valid UTF-8"), (b" \n\t\n", "holds no prompt"),
                                        (b"a\0b\n", "holds a NUL byte")])
def test_what_is_no_text_is_refused(text, words, tmp_path):
    (tmp_path / "p.txt").write_bytes(text)
    done = validated(write_job(tmp_path / "job", job_of(tmp_path / "p.txt")))
    assert done.returncode == 2 and words in done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut") / "model"
    tiny_sd3.make_folder(folder, seed=80)
    return folder


def said_of(model, tmp_path, **keys):
    tmp_path.mkdir(exist_ok=True)
    job = {"job": "sample", "model": {"path": str(model), "max_sequence_length": 1, "prompt_cache": {"folder": str(tmp_path / "cache")}},
           "sampler": {"name": "flow_ode", "steps": 1, "height": 16, "width": 16}, "save_images": False,
           "output": str(tmp_path / "run"), **keys}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if "is cut" in line]


def test_a_prompt_that_is_cut_is_told_once_with_its_place(model, tmp_path):
    long, longer = "a red circle above " * 30, "\u00e9t\u00e9 " * 100
    (tmp_path / "p.txt").write_text("\n".join(["a red circle", long, "a", longer, longer]))
    lengths = [len(AutoTokenizer.from_pretrained(model / f"tokenizer{part}")(long)["input_ids"]) for part in ("", "_2")]
    assert min(lengths) > tiny_sd3.LENGTH
    expected = (f"warn: {tmp_path / 'p.txt'}, prompt 2: is cut: text_encoder reads {tiny_sd3.LENGTH} of its {lengths[0]} tokens, "
                f"text_encoder_2 reads {tiny_sd3.LENGTH} of its {lengths[1]} tokens; so are 2 more")
    prompts = {"prompts": {"path": str(tmp_path / "p.txt")}}
    assert said_of(model, tmp_path, **prompts) == [expected]
    assert said_of(model, tmp_path / "again", **prompts) == [expected]
    assert said_of(model, tmp_path, **prompts) == [expected]  # what comes from the prompt cache was cut too
    texts = {"prompts": {"texts": ["a red circle"]}}
    assert said_of(model, tmp_path, **texts, output=str(tmp_path / "texts")) == []
    guided = {"name": "flow_ode", "steps": 1, "height": 16, "width": 16, "guidance_scale": 2.0}
    negative = said_of(model, tmp_path, **texts, negative_prompt=long, sampler=guided, output=str(tmp_path / "negative"))
    assert [line.split(": is cut")[0] for line in negative] == ["warn: /negative_prompt"]


def test_a_prompt_that_just_fits_is_not_cut(model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(model / "tokenizer")
    words = "a"
    while len(tokenizer(words + " a")["input_ids"]) <= tiny_sd3.LENGTH:
        words += " a"
    for texts, count in [([words], 0), ([words + " a"], 1)]:
        assert len(said_of(model, tmp_path / str(count), prompts={"texts": texts})) == count


@pytest.mark.parametrize("scale", [0, 0.5])
def test_guidance_below_one_is_none_as_in_diffusers(scale, model, tmp_path):
    texts = {"prompts": {"texts": ["a red circle"]}, "save_latents": True}
    sampler = {"name": "flow_ode", "steps": 2, "height": 16, "width": 16}
    for name, value in [("none", 1.0), ("low", scale)]:
        said_of(model, tmp_path, **texts, sampler={**sampler, "guidance_scale": value}, output=str(tmp_path / name))
    assert (tmp_path / "none" / "latents.safetensors").read_bytes() == (tmp_path / "low" / "latents.safetensors").read_bytes()
