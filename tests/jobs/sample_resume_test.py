"""A `sample` job that is stopped or killed at any moment goes on, and leaves what an undisturbed one leaves."""

import hashlib
import json
import random
import shutil
import signal

import pytest
from resuming import finish, kill_after, make_files, report_data, start, untimed, wait_for

KILLS = 6


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("sample-resume"))


def picture_job(files):
    """Steered, guided, with rewards, pictures and latents of all particles."""
    return {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 1},
            "prompts": {"path": str(files / "many.txt"), "limit": 60}, "images_per_prompt": 2,
            "sampler": {"name": "flow_sde", "steps": 6, "height": 16, "width": 16, "guidance_scale": 1.5},
            "steering": [{"name": "fk", "particles": 4, "lambda": 50, "interval": 2, "returned": "all"}],
            "rewards": [{"plugin": "color"}], "save_latents": True, "checkpoint": {"every_seconds": 0},
            "parallel": {"workers": 2, "micro_batch": 8}, "seed": 5}


def video_job(files):
    """Four frames in double precision, candidates, frames out, from given noise."""
    return {"job": "sample", "model": {"path": "assets/laboratory/video"}, "prompts": {"texts": ["", "a"]},
            "images_per_prompt": 300, "sampler": {"name": "memoryless", "steps": 20, "height": 2, "width": 2, "frames": 4},
            "steering": [{"name": "doob", "candidates": 8, "temperature": 0.2}], "rewards": [{"plugin": "analytic"}],
            "save_images": False, "save_latents": True, "save_frames": True, "checkpoint": {"every_seconds": 0},
            "parallel": {"workers": 2, "micro_batch": 7}, "seed": 3}


def noise_job(files):
    """Its initial noise optimized, so that a micro-batch is many draws."""
    return {**video_job(files), "sampler": {"name": "flow_ode", "steps": 4, "height": 2, "width": 2, "frames": 4},
            "steering": [{"name": "reno", "iterations": 12}]}


JOBS = {"pictures": picture_job, "video": video_job, "noise": noise_job}


def left(folder):
    """All files of a finished run but for job.json, and result and report without times."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    found = {str(name): hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names
             if name.name not in ("job.json", "result.json", "report.html") and not name.name.startswith(".")}
    return {**found, "result.json": untimed(json.loads((folder / "result.json").read_text())), "report.html": report_data(folder)}


def parts(folder):
    return sorted((folder / "parts").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


@pytest.fixture(scope="module", params=JOBS)
def whole(request, files):
    """The job, and what its undisturbed run leaves."""
    job, folder = JOBS[request.param](files), files / f"{request.param}-whole" / "run"
    finish(folder, job)
    assert not (folder / "parts").exists()
    return job, left(folder)


def test_killed_runs_equal_the_undisturbed_one(whole, tmp_path):
    job, expected = whole
    draw, resumed = random.Random(9), 0
    for number in range(KILLS):
        folder = tmp_path / str(number) / "run"
        for attempt in range(3):  # killed again while it goes on
            process = start(folder, job)
            wanted = len(parts(folder)) + draw.randint(1, 6)
            wait_for(process, lambda: len(parts(folder)) >= wanted)
            kill_after(process, folder, draw.uniform(0, 0.02))
        resumed += "samples were drawn before" in finish(folder, job)
        assert left(folder) == expected
    assert resumed == KILLS


def test_a_stopped_run_keeps_what_it_has_drawn(whole, tmp_path):
    """Nothing is saved before: the stop itself saves."""
    job, expected = whole
    folder = tmp_path / "run"
    slow = {**job, "checkpoint": {"every_seconds": 1000}}
    if "save_frames" in job:
        slow["parallel"] = {**job["parallel"], "workers": 1}
    process = start(folder, slow)
    said = ""
    if job.get("save_images", True):
        wait_for(process, lambda: (folder / "samples" / "00000.png").exists())
    else:
        wait_for(process, lambda: (folder / "job.json").exists())
        while "sample " not in said:
            said += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    more, _ = process.communicate(timeout=60)
    assert process.returncode == 3, more
    assert "run the same command to go on" in more
    assert json.loads((folder / "result.json").read_text()) == {"status": "stopped"}
    assert len(parts(folder)) == 1
    said = finish(folder, job)  # with other workers and another interval: not part of the numbers
    assert "samples were drawn before" in said
    assert left(folder) == expected


@pytest.fixture
def halfway(files, tmp_path):
    """A killed run of the first job with at least three parts."""
    job, folder = picture_job(files), tmp_path / "halfway" / "run"
    process = start(folder, job)
    wait_for(process, lambda: len(parts(folder)) >= 4)
    kill_after(process, folder, 0)
    return job, folder


@pytest.mark.parametrize("file", ["samples.safetensors", "state.json", "manifest.json"])
def test_a_damaged_part_is_drawn_again(file, files, halfway):
    job, folder = halfway
    victim = parts(folder)[1] / file
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(content)
    said = finish(folder, job)
    assert "damaged and passed over" in said and "samples were drawn before" in said
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["type"] for event in events] == ["checkpoint_damaged"]
    undisturbed = folder.parent / "undisturbed" / "run"
    finish(undisturbed, job)
    for name in ("latents.safetensors", "scores.jsonl", "grid.png", "samples/00000.png"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name


@pytest.mark.parametrize("change,pointer", [
    ({"seed": 6}, "/seed"), ({"images_per_prompt": 3}, "/images_per_prompt"),
    ({"steering": [{"name": "best_of_n", "particles": 4}]}, "/steering"),
    ({"parallel": {"micro_batch": 4}}, "/parallel/micro_batch"),
])
def test_parts_of_another_job_are_refused(change, pointer, halfway):
    job, folder = halfway
    before = (folder / "job.json").read_bytes()
    process = start(folder, {**job, **change})
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "belongs to another job" in said and pointer in said and "choose another output folder" in said
    assert len(parts(folder)) >= 4 and (folder / "job.json").read_bytes() == before


@pytest.mark.parametrize("change", [{"save_frames": True}, {"save_images": False}, {"save_latents": False}])
def test_what_is_saved_may_change(change, files, halfway):
    """What was drawn without it is drawn again."""
    job, folder = halfway
    key, value = next(iter(change.items()))
    said = finish(folder, {**job, **change})
    assert f"settings have changed since checkpoint-" in said and f"/{key} from" in said
    assert ("samples were drawn before" in said) == (not value)
    undisturbed = folder.parent / "undisturbed" / "run"
    finish(undisturbed, {**job, **change})
    for name in ("latents.safetensors", "frames.safetensors", "scores.jsonl"):
        if (undisturbed / name).exists():
            assert (folder / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_a_picture_that_is_not_there_is_drawn_again(files, halfway):
    job, folder = halfway
    first = json.loads((parts(folder)[0] / "state.json").read_text())["drawn"][0]["first"]
    lost = folder / "samples" / f"{4 * first:05}.png"  # four particles a sample
    lost.unlink()
    finish(folder, job)
    assert lost.is_file()


def test_changed_inputs_are_refused(files, halfway, tmp_path):
    job, folder = halfway
    prompts = files / "many.txt"
    before = prompts.read_text()
    try:
        prompts.write_text(before + "one more\n")
        process = start(folder, job)
        said, _ = process.communicate(timeout=60)
    finally:
        prompts.write_text(before)
    assert process.returncode == 2 and "/prompts/path" in said and "has changed" in said


def test_a_finished_run_is_drawn_anew(files, tmp_path):
    """Nothing of it is left that a run could go on from."""
    job, folder = {**picture_job(files), "prompts": {"texts": ["a red circle"]}}, tmp_path / "run"
    finish(folder, job)
    first = left(folder)
    shutil.rmtree(folder / "samples")
    assert "drawn before" not in finish(folder, job)
    assert left(folder) == first
