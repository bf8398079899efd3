"""`score`: which file gets which prompt, what a manifest says, and what of it reaches a plugin."""

import json
import subprocess

import numpy
import pytest
from job_errors_test import assert_refused
from parity_tool import ROOT
from PIL import Image
from program import run_job, thalweg, validated, write_job

RED = [{"plugin": "color", "config": {"channel": "red"}}]


def lines_of(folder):
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def flat(path, level):
    """A grey picture; 8 x 8 of one level is that level in JPEG too."""
    Image.fromarray(numpy.full((8, 8, 3), level, numpy.uint8)).save(path)


@pytest.fixture
def brightness(tmp_path):
    """The template's plugin, which now says mean(frames) + 10 mean(reference) + 100 mean(mask)."""
    source = (ROOT / "plugins/template/c/brightness.c").read_text()
    for old, new in [
            ("THALWEG_INPUT_FRAMES,  ", "THALWEG_INPUT_FRAMES | THALWEG_INPUT_REFERENCE | THALWEG_INPUT_MASK,  "),
            ("out[b] = (float)(sum / (double)per_sample);",
             "const float* reference = (const float*)request->reference->data;\n"
             "const float* mask = (const float*)request->mask->data;\n"
             "if (request->mask->shape[2] != 1 || request->reference->shape[2] != 3) return THALWEG_INVALID_ARGUMENT;\n"
             "out[b] = (float)(sum / (double)per_sample) + 10 * reference[b * per_sample] + 100 * mask[b * per_sample / 3];")]:
        assert old in source
        source = source.replace(old, new)
    (tmp_path / "three.c").write_text(source)
    plugin = tmp_path / "three.so"
    subprocess.run(["cc", "-std=c11", "-shared", "-fPIC", "-O2", f"-I{ROOT}/plugins/include", str(tmp_path / "three.c"),
                    "-o", str(plugin)], check=True)
    return [{"plugin": str(plugin), "isolation": "inproc"}]


def test_a_folder_is_scored_in_the_order_of_its_numbers(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    endings = ["png", "jpg", "JPEG", "PNG", "Jpg"]
    names = [f"{i}.{endings[i % len(endings)]}" for i in range(12)]
    for i, name in enumerate(names):
        flat(folder / name, 20 * i)
    (folder / "grid.png").write_text("a sheet")
    (folder / "notes.txt").write_text("no picture")
    run = run_job(tmp_path / "run", {"job": "score", "images": str(folder), "batch_size": 5, "rewards": RED,
                                     "prompts": {"texts": [f"prompt {i}" for i in range(12)]}})
    lines = lines_of(run)
    assert [line["file_name"] for line in lines] == names
    assert [line["prompt"] for line in lines] == [f"prompt {i}" for i in range(12)]


def test_a_manifest_names_pictures_prompts_references_and_masks(brightness, tmp_path):
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    rows = []
    for i in range(5):
        flat(folder / "deep" / f"{i}.jpg", 51 * i)
        flat(folder / f"reference{i}.png", 255 - 51 * i)
        Image.fromarray(numpy.full((8, 8), 255 * (i % 2), numpy.uint8)).save(folder / f"mask{i}.png")
        rows.append({"file_name": f"deep/{i}.jpg", "prompt": f"picture {i}", "reference": f"reference{i}.png",
                     "mask": f"mask{i}.png", "mine": i})
    rows.reverse()  # its order holds, not that of names
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    job = {"job": "score", "manifest": str(folder / "metadata.jsonl"), "rewards": brightness, "batch_size": 2}
    lines = lines_of(run_job(tmp_path / "run", job))
    assert [line["file_name"] for line in lines] == [row["file_name"] for row in rows]
    assert [line["prompt"] for line in lines] == [row["prompt"] for row in rows]
    for line, i in zip(lines, range(4, -1, -1), strict=True):
        assert line["reward"] == pytest.approx(0.2 * i + 10 * (1 - 0.2 * i) + 100 * (i % 2), abs=1e-4)
    # Elsewhere, relative to `images`.
    (tmp_path / "moved.jsonl").write_text((folder / "metadata.jsonl").read_text())
    job = {**job, "manifest": str(tmp_path / "moved.jsonl"), "images": str(folder)}
    assert lines_of(run_job(tmp_path / "again", job)) == lines


def test_a_reward_that_needs_a_reference_is_refused_without(brightness, tmp_path):
    flat(tmp_path / "0.png", 0)
    job = {"job": "score", "images": str(tmp_path), "prompts": {"texts": ["a"]}, "rewards": brightness,
           "output": str(tmp_path / "run")}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and "this reward needs a reference picture, and the job gives none" in done.stderr


@pytest.mark.parametrize("rows,words", [
    (['{"prompt": "a"}'], 'line 1: has no "file_name"'),
    (['{"file_name": "0.png"}'], 'line 1: must be an object with a text "prompt"'),
    (['{"file_name": 7, "prompt": "a"}'], 'line 1: "file_name" must be the name of a file'),
    (['{"file_name": "0.png", "prompt": "a", "mask": "0.png"}', '{"file_name": "0.png", "prompt": "a"}'],
     'line 2: either all lines have a "mask" or none'),
    (['{"file_name": "nowhere.png", "prompt": "a"}'], "nowhere.png"),
    (['{"file_name": "0.png", "prompt": "a", "reference": "1.png"}'], "1.png: is 9 x 8 pixels, another size"),
    (['{"file_name": "0.png", "prompt": "a"}', '{"file_name": "1.png", "prompt": "a"}'], "1.png: is 9 x 8 pixels"),
    (["", "  "], "holds no prompt"),
    (["{"], "line 1: "),
])
def test_a_manifest_that_does_not_fit(rows, words, tmp_path):
    flat(tmp_path / "0.png", 0)
    Image.new("RGB", (9, 8)).save(tmp_path / "1.png")
    (tmp_path / "m.jsonl").write_text("\n".join(rows))
    job = {"job": "score", "manifest": str(tmp_path / "m.jsonl"), "rewards": RED, "output": str(tmp_path / "run")}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_what_goes_together(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"file_name": "0.png", "prompt": "a"}\n')
    (tmp_path / "m.txt").write_text("a\n")
    base = {"job": "score", "rewards": RED, "output": str(tmp_path / "run"), "manifest": str(tmp_path / "m.jsonl")}
    for keys, place, words in [({"prompts": {"texts": ["a"]}}, "/prompts: ", "leave this key out"),
                               ({"frames": str(tmp_path / "m.txt")}, "/images: ", "either images or frames, or a manifest"),
                               ({"manifest": str(tmp_path / "m.txt")}, "/manifest: ", "no .jsonl file"),
                               ({"manifest": "nowhere.jsonl"}, "/manifest: ", "does not exist"),
                               ({"manifest": "", "images": str(tmp_path)}, "/prompts: ", "either texts or path")]:
        assert_refused(validated(write_job(tmp_path / "job.json", {**base, **keys})), place, words)


def test_pictures_of_other_formats_are_not_passed_over(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    flat(folder / "0.png", 0)
    Image.new("RGB", (8, 8)).save(folder / "1.webp")
    job = {"job": "score", "images": str(folder), "prompts": {"texts": ["a"]}, "rewards": RED, "output": str(tmp_path / "run")}
    assert_refused(thalweg("run", write_job(tmp_path / "job.json", job)), "/images: ", "1.webp\" is neither PNG nor JPEG")
