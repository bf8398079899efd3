"""Plugins that misbehave (tests/plugins), in jobs: masked and named, or refused at their place. See its README."""

import json
import signal
import subprocess

import pytest
import tiny_sd3
import torch
from parity_tool import BUILD
from program import ENVIRONMENT, PROGRAM, run_job, thalweg, write_job
from resuming import METHODS as RESUMED
from safetensors.torch import save_file
from workers_test import METHODS, align_job, lora, rows, stop_after

ZOO = BUILD / "tests/plugins"


def numbers_of_lora(folder):
    """The weights behind the file's header, which names the rewards."""
    data = lora(folder)
    return data[8 + int.from_bytes(data[:8], "little"):]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    tiny_sd3.make_folder(folder / "model", seed=80)
    # Five: the first call of an evaluation is unlucky, and what remains has a reward.
    (folder / "prompts.txt").write_text("a red circle\ntwo blue squares\na circle\na square\na triangle\n")
    torch.manual_seed(0)
    save_file({"frames": torch.rand(7, 1, 3, 8, 8)}, folder / "frames.safetensors")
    return folder


def reward(name):
    return {"plugin": str(ZOO / f"{name}.so"), "isolation": "inproc"}


def events(folder):
    """All but that these jobs train and evaluate on the same prompts, what a run says of itself, and that an older kernel has no sandbox."""
    found = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [event for event in found if event["type"] not in ("prompts_shared", "self_check") and ": sandbox: " not in event["message"]]


def result(folder):
    return json.loads((folder / "result.json").read_text())


def score_job(files, plugin, **changes):
    return {"job": "score", "frames": str(files / "frames.safetensors"), "prompts": {"texts": list("abcdefg")},
            "rewards": [plugin], "output": str(files / "unused"), **changes}


def zoo_job(files, plugin, method="flow_grpo", **changes):
    short = {"iterations": 2, "evaluate": {"every": 2, "steps": 2, "pictures": 0}, "checkpoint": {"every": 2, "keep": 2}}
    return align_job(files, method, **{"rewards": [reward(plugin)], "parallel__workers": 2, **short, **changes})


# Of 16 samples in micro-batches of 4, numbered through the run: every third is unlucky, or every third call.
MASKING = {"nan_value": 'wrote NaN for "square"', "infinite": 'wrote an infinite value for "square"',
           "unwritten": 'left "square" unwritten', "explains": 'did not score "square": no face is in it', "error_status": "unavailable: the judge is at lunch",
           "silent_error": "unknown status -77",
           "throws": "internal failure: let an exception out: thrown across the boundary"}


def expected_masked(plugin, first, count, micro_batch=4):
    by_sample = plugin in ("nan_value", "infinite", "unwritten", "explains")
    numbers = range(first, first + count)
    return sum(1 for n in numbers if (n if by_sample else n - n % micro_batch) % 3 == 0)


@pytest.fixture(scope="module")
def masked_runs(files):
    return {plugin: run_job(files / f"run-{plugin}", zoo_job(files, plugin)) for plugin in MASKING}


@pytest.mark.parametrize("plugin", MASKING)
def test_failed_samples_are_masked_and_named(masked_runs, plugin):
    folder, reason = masked_runs[plugin], MASKING[plugin]
    training = [row for row in rows(folder) if row["kind"] == "train"]
    masked = [expected_masked(plugin, 16 * i, 16) for i in range(2)]
    assert [row["masked_samples"] for row in training] == masked and 0 < min(masked)
    failed = [event for event in events(folder) if event["type"] == "reward_failed"]
    rollouts = [event for event in failed if event["data"]["phase"] == "rollout"]
    assert [event["step"] for event in rollouts] == [1, 2]
    for event, count in zip(rollouts, masked):
        assert event["level"] == "warn" and event["data"]["masked"] == count and event["data"]["samples"] == 16
        (failure,) = event["data"]["failures"]
        assert failure["plugin"] == plugin and failure["reason"] == reason and failure["samples"] == count
        assert 1 <= failure["calls"] <= 4
    assert {event["data"]["phase"] for event in failed} == {"rollout", "held-out", "final"}
    (entry,) = [entry for entry in result(folder)["reward_failures"] if entry["phase"] == "rollout"]
    assert entry == {"plugin": plugin, "reason": reason, "samples": sum(masked), "calls": entry["calls"],
                     "phase": "rollout", "first_step": 1}
    assert "Rewards that failed" in (folder / "report.html").read_text()


def test_what_a_failed_sample_holds_reaches_no_gradient(masked_runs):
    """NaN, infinity and nothing give the same weights bit for bit, and no number of the run is lost to them."""
    weights = {numbers_of_lora(masked_runs[plugin]) for plugin in ("nan_value", "infinite", "unwritten")}
    assert len(weights) == 1
    for row in rows(masked_runs["nan_value"]):
        assert None not in row.values()
    assert numbers_of_lora(masked_runs["throws"]) == numbers_of_lora(masked_runs["error_status"])
    assert numbers_of_lora(masked_runs["throws"]) not in weights


def test_nor_with_the_other_method(files, tmp_path):
    nan, infinite, clean = (run_job(tmp_path / plugin, zoo_job(files, plugin, "diffusion_nft"))
                            for plugin in ("nan_value", "infinite", "good"))
    assert numbers_of_lora(nan) == numbers_of_lora(infinite) != numbers_of_lora(clean)
    assert result(clean)["reward_failures"] == [] and events(clean) == []


def test_failures_do_not_depend_on_workers(files, masked_runs, tmp_path):
    one = run_job(tmp_path / "one", zoo_job(files, "error_status", parallel__workers=1))
    two = masked_runs["error_status"]
    assert [event["data"] for event in events(one)] == [event["data"] for event in events(two)]
    assert result(one)["reward_failures"] == result(two)["reward_failures"]
    assert numbers_of_lora(one) == numbers_of_lora(two)


def test_failures_survive_a_kill(files, tmp_path):
    job = zoo_job(files, "nan_value", iterations=6, checkpoint={"every": 1, "keep": 2})
    whole = run_job(tmp_path / "whole", job)
    path, code, output = stop_after(tmp_path / "killed", job, 3, signal.SIGKILL)
    assert code == -signal.SIGKILL, output
    resumed = thalweg("run", path)
    assert resumed.returncode == 0, resumed.stderr
    assert result(tmp_path / "killed")["reward_failures"] == result(whole)["reward_failures"]
    again = thalweg("run", path)  # finished: nothing is counted twice
    assert again.returncode == 0, again.stderr
    assert result(tmp_path / "killed")["reward_failures"] == result(whole)["reward_failures"]


def test_a_reward_that_never_scores_ends_the_run(files, tmp_path):
    """Before it has begun: nothing would choose its checkpoint. A rollout without a score: training/scores_test.cpp."""
    job = {**zoo_job(files, "error_always"), "output": str(tmp_path / "run")}
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("thalweg: /evaluate/metric: reward has no value on the prompts of")
    assert "error_always: device failure: the lamp is out" in done.stderr
    error = result(tmp_path / "run")["error"]
    assert error["param"] == "/evaluate/metric" and "the lamp is out" in error["message"]
    assert [(event["level"], event["data"]["phase"]) for event in events(tmp_path / "run")] == [("error", "held-out")]


@pytest.mark.parametrize("kind", ["score", "evaluate", "sample"])
def test_every_job_names_what_failed(files, tmp_path, kind):
    """Samples 0, 3 and 6 of seven, or 0 of two."""
    model = {"model": {"path": str(files / "model"), "max_sequence_length": 1}, "prompts": {"texts": ["a", "b"]}}
    size = {"height": 16, "width": 16}
    jobs = {"score": score_job(files, reward("nan_value")),
            "evaluate": {"job": "evaluate", **model, "size": size, "steps": 2, "rewards": [reward("nan_value")]},
            "sample": {"job": "sample", **model, "sampler": {"steps": 2, **size}, "rewards": [reward("nan_value")]}}
    folder = run_job(tmp_path / "run", jobs[kind])
    (entry,) = result(folder)["reward_failures"]
    assert entry["plugin"] == "nan_value" and entry["reason"] == MASKING["nan_value"]
    assert entry["samples"] == (3 if kind == "score" else 1)
    (event,) = events(folder)
    assert event["type"] == "reward_failed" and event["data"]["masked"] == entry["samples"]


def test_what_a_plugin_prints_stays_off_standard_output(files, tmp_path):
    path = write_job(tmp_path / "job.json", score_job(files, reward("prints"), output=str(tmp_path / "run")))
    done = thalweg("run", path)
    assert done.returncode == 0, done.stderr
    assert "scored 7" in done.stderr and "scored 7" not in done.stdout
    (entry,) = result(tmp_path / "run")["reward_failures"]
    assert entry["reason"] == "printed to standard output" and entry["samples"] == 0
    assert result(tmp_path / "run")["rewards"]["reward"]["not_scored"] == 0


def test_what_a_plugin_writes_into_its_inputs_reaches_nobody(files, tmp_path):
    """Not the rewards behind it, nor its own gradient, nor the pictures that are kept."""
    def scored(*plugins):
        job = score_job(files, None, rewards=[reward(plugin) for plugin in plugins])
        folder = run_job(tmp_path / "-".join(plugins), job)
        return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]

    alone, behind = scored("good"), scored("writes_inputs", "writes_inputs", "good")
    assert [row["good/square"] for row in behind] == [row["good/square"] for row in alone]
    for row in behind:
        assert row["writes_inputs/square"] == row["writes_inputs/square#2"] != row["good/square"]


def test_log_lines_are_shown_and_kept(files, tmp_path):
    job = score_job(files, reward("talks"), output=str(tmp_path / "run"))
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 0, done.stderr
    lines = ["talks: the judge is in the chair", "talks: the light is dim", *(f"talks: sample {i} is fine" for i in range(7))]
    said = events(tmp_path / "run")
    assert {event["type"] for event in said} == {"reward_log"} and sorted(lines) == sorted(e["message"] for e in said)
    assert {e["message"]: e["level"] for e in said}["talks: the light is dim"] == "warn"
    assert {"plugin": "talks", "text": "the judge is in the chair"} in [event["data"] for event in said]
    for line in lines:
        assert done.stdout.count(line) == 1, done.stdout
    assert "nobody" not in done.stdout and "warn: talks: the light is dim" in done.stdout


def test_log_lines_depend_neither_on_workers_nor_on_a_stop(files, tmp_path):
    job = zoo_job(files, "talks", iterations=4, checkpoint={"every": 1, "keep": 2})
    kept = []
    for workers in (1, 2):
        kept.append(events(run_job(tmp_path / f"run-{workers}", {**job, "parallel": {**job["parallel"], "workers": workers}})))
    path, code, output = stop_after(tmp_path / "killed", job, 3, signal.SIGKILL)
    assert code == -signal.SIGKILL, output
    resumed = thalweg("run", path)
    assert resumed.returncode == 0, resumed.stderr
    kept.append(events(tmp_path / "killed"))
    one, *others = [[(event["step"], event["message"]) for event in said] for said in kept]
    assert len(one) == 65 and one.count((0, "talks: the judge is in the chair")) == 1
    assert "talks: has written many lines; the rest is left out" in {message for _, message in one}
    for other in others:
        assert other == one


def spoilt_files(folder):
    good = (ZOO / "good.so").read_bytes()
    spoilt = {"text": b"not a library\n", "truncated": good[:len(good) // 3], "narrow": good[:4] + b"\1" + good[5:],
              "foreign": good[:18] + b"\x08\0" + good[20:]}
    for name, content in spoilt.items():
        (folder / f"{name}.so").write_bytes(content)
    return {name: folder / f"{name}.so" for name in spoilt}


REFUSED = {"text": "is not an ELF shared library", "truncated": "is cut short", "narrow": "another processor",
           "foreign": "another processor", "wrong_major": "was built for version 1.0 of the plugin ABI",
           "missing_symbol": "exports no symbol thalweg_entry", "refuses_to_start": "refused to start",
           "null_descriptor": "texts are not clean UTF-8", "missing_function": "missing functions",
           "requires_the_unknown": "requires an input that this program does not know (bit 40 of required_inputs)"}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plugin_is_refused_at_its_place(files, tmp_path, name):
    path = spoilt_files(tmp_path).get(name, ZOO / f"{name}.so")
    job = score_job(files, {"plugin": str(path), "isolation": "inproc"}, output=str(tmp_path / "run"))
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 2
    assert done.stderr.startswith("thalweg: /rewards/0") and REFUSED[name] in done.stderr
    error = result(tmp_path / "run")["error"]
    assert error["param"].startswith("/rewards/0") and REFUSED[name] in error["message"]


CARELESS = ["the handler of SIGINT", "the locale", "the rounding, denormal or trap mode", "the umask", "the working folder"]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_plugin_changes_in_the_process_is_put_back_and_said(files, tmp_path, workers):
    """The numbers are those of the proper plugin, whatever thread it is called on."""
    good, careless = (run_job(tmp_path / plugin, zoo_job(files, plugin, parallel__workers=workers))
                      for plugin in ("good", "careless"))
    assert numbers_of_lora(careless) == numbers_of_lora(good)
    said = {entry["reason"]: entry["samples"] for entry in result(careless)["reward_failures"]}
    assert said == {f"changed {what}, which was put back": 0 for what in CARELESS}


def test_a_relative_output_stays_together(files, tmp_path):
    """Whatever folder the plugin goes to, in whatever thread pictures are written."""
    job = {"job": "sample", "model": {"path": str(files / "model"), "max_sequence_length": 1},
           "prompts": {"texts": list("abcdefgh")}, "sampler": {"steps": 2, "height": 16, "width": 16},
           "rewards": [reward("careless")], "parallel": {"workers": 2, "micro_batch": 1}, "output": "run"}
    path = write_job(tmp_path / "job.json", job)
    done = subprocess.run([PROGRAM, "run", path], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 8
    assert result(tmp_path / "run")["status"] == "succeeded"
    assert json.loads((tmp_path / "run" / "job.json").read_text())["output"] == "run"  # as the user wrote it


def test_closed_standard_descriptors_take_no_file(files, tmp_path):
    """No text of the program gets into a file of the run."""
    folder = run_job(tmp_path / "run", zoo_job(files, "closes"))
    good = run_job(tmp_path / "good", zoo_job(files, "good"))
    assert numbers_of_lora(folder) == numbers_of_lora(good)
    assert [row["kind"] for row in rows(folder)] == [row["kind"] for row in rows(good)]
    said = {entry["reason"] for entry in result(folder)["reward_failures"]}
    assert said == {f"changed standard {name}, which was put back" for name in ("input", "output", "error")}


@pytest.mark.parametrize("plugin,words", [("crashes", "died of SIGSEGV"), ("aborts", "died of SIGABRT"),
                                          ("exits", "(exit code 0)"), ("quits", "(exit code 0)")])
def test_a_plugin_that_ends_the_program_is_named(files, tmp_path, plugin, words):
    """And does not pass for a finished run. More of it in truth_test.py."""
    job = score_job(files, reward(plugin), output=str(tmp_path / "run"))
    done = thalweg("run", write_job(tmp_path / "job.json", job))
    assert done.returncode == 1
    assert words in done.stderr and f'while the reward "{plugin}" was in score' in done.stderr
    assert result(tmp_path / "run")["status"] == "failed"


def test_every_method_is_tried():
    kinds = json.loads(thalweg("schema").stdout)["oneOf"]
    align = next(kind["properties"] for kind in kinds if kind["properties"]["job"].get("const") == "align")
    known = {method["properties"]["name"]["const"] for method in align["method"]["oneOf"]}
    assert set(METHODS) == known and set(RESUMED) == known  # kills, workers, few-step models, references
