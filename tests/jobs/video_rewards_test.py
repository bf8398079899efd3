"""Rewards of videos through whole jobs: the temporal plugin, and rewards of pictures given single frames."""

import json

import numpy as np
import pytest
from laboratory import LINE, VIDEO, align_job, run, sample_job
from program import BUILD, thalweg, validated, write_job
from safetensors.numpy import load_file

TEMPORAL = {"plugin": "temporal", "config": {"change_scale": 2.0 ** -3}}
LINEAR = {"plugin": "analytic"}  # the mean of the elements


def scores(folder):
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    return {name: np.array([row[name] for row in rows]) for name in rows[0] if "/" in name or name == "reward"}


def drawn(folder, rewards, *arguments, size=VIDEO, **keys):
    job = sample_job(folder, "line" if size == LINE else "video", size, images_per_prompt=9, rewards=rewards, save_frames=True,
                     **{"sampler": {"name": "flow_ode", "steps": 6, **size}, **keys})
    return run(job, folder / "run", *arguments)


def frames_of(folder):
    return load_file(folder / "frames.safetensors")["frames"].astype(np.float64)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    by_frame = [{"frames": "all"}, {"frames": "all", "over_frames": "minimum"}, {"frames": "first"},
                {"frames": "every", "frame_interval": 3}]
    return drawn(folder, [TEMPORAL] + [{**LINEAR, **keys} for keys in [{}, *by_frame]])


def test_temporal_scores_are_of_the_frames_in_their_order(video):
    x, found = frames_of(video), scores(video)
    step = np.diff(x, axis=1)
    change, bend = (np.abs(d).mean((1, 2, 3, 4)) for d in (step, np.diff(step, axis=1)))
    assert found["temporal/temporal_flickering"] == pytest.approx(1 - change, abs=1e-5)
    assert found["temporal/motion_linearity"] == pytest.approx(1 - bend / 2, abs=1e-5)
    assert found["temporal/frame_change"] == pytest.approx(1 - np.exp(-change * 8), abs=1e-5)
    other = np.abs(np.diff(x[:, [0, 2, 1, 3]], axis=1)).mean((1, 2, 3, 4))
    assert np.abs(other - change).max() > 0.01  # in another order they would be other numbers


def test_single_frames_are_scored_and_combined(video):
    means, found = frames_of(video).mean((2, 3, 4)), scores(video)
    names = [name for name in found if name.startswith("analytic/")]
    whole, every, lowest, first, third = (found[name] for name in names)
    assert whole == pytest.approx(means.mean(1), abs=1e-5) and every == pytest.approx(whole, abs=1e-6)
    assert lowest == pytest.approx(means.min(1), abs=1e-5)
    assert first == pytest.approx(means[:, 0], abs=1e-5)
    assert third == pytest.approx(means[:, [0, 3]].mean(1), abs=1e-5)


def test_they_are_the_same_in_any_micro_batch_and_in_a_process_of_their_own(video, tmp_path):
    job = json.loads((video / "job.json").read_text())
    for reward in job["rewards"]:
        reward["isolation"] = "process"
    found = scores(run(write_job(tmp_path / "job.json", {**job, "parallel": {"micro_batch": 2}}), tmp_path / "run"))
    for name, values in scores(video).items():
        assert found[name] == pytest.approx(values, abs=1e-6), name


def test_a_picture_scores_to_the_bit_as_without(tmp_path):
    found = scores(drawn(tmp_path, [LINEAR, {**LINEAR, "frames": "all"}, {**LINEAR, "frames": "all", "over_frames": "minimum"},
                                    {**LINEAR, "frames": "first"}, {**LINEAR, "frames": "every"}], size=LINE))
    values = [found[name] for name in found if name.startswith("analytic/")]
    assert len(values) == 5 and all((column == values[0]).all() for column in values)


@pytest.mark.parametrize("name", ["dps", "mpgd"])
def test_steering_follows_a_reward_of_the_video(tmp_path, name):
    """By the plugin's gradient through the clean estimates: calm grows, and the loss of it does the opposite."""
    reward = {**TEMPORAL, "dimensions": {"temporal_flickering": 1}}
    calm = {}
    for sign in (0, 1, -1):
        folder = tmp_path / str(sign)
        folder.mkdir()
        steering = [{"name": name, "lambda": 40}] if sign else []
        calm[sign] = scores(drawn(folder, [{**reward, "weight": sign or 1}], steering=steering))["temporal/temporal_flickering"].mean()
    assert calm[1] > calm[0] + 0.02 and calm[-1] < calm[0] - 0.02


def test_steering_raises_the_lowest_frame(tmp_path):
    lowest = {**LINEAR, "frames": "all", "over_frames": "minimum"}
    found = {}
    for name, steering in {"base": [], "steered": [{"name": "dps", "lambda": 20}]}.items():
        (tmp_path / name).mkdir()
        found[name] = scores(drawn(tmp_path / name, [lowest], steering=steering))["reward"].mean()
    assert found["steered"] > found["base"] + 0.05


@pytest.mark.parametrize("reward, place, text", [
    ({"plugin": "temporal", "frames": "first"}, "/rewards/0/frames", "compares the frames of a video"),
    ({"plugin": "temporal", "frames": "all"}, "/rewards/0/frames", "compares the frames of a video"),
    ({"plugin": "analytic", "id": "org.thalweg.analytic.latents", "frames": "all"}, "/rewards/0/frames", "latents"),
    ({"plugin": "analytic", "frames": "last"}, "/rewards/0/frames", "every"),
    ({"plugin": "analytic", "frames": "first", "over_frames": "mean"}, "/rewards/0/over_frames", "unknown key"),
    ({"plugin": "analytic", "frames": "every", "frame_interval": 0}, "/rewards/0/frame_interval", "1"),
])
def test_what_cannot_be_is_refused_by_name(tmp_path, reward, place, text):
    done = validated(sample_job(tmp_path, "video", VIDEO, rewards=[reward]))
    assert done.returncode == 2 and done.stderr.startswith(f"thalweg: {place}: ") and text in done.stderr, done.stderr


def test_a_reward_of_videos_is_refused_where_pictures_are_drawn(tmp_path):
    done = thalweg("run", sample_job(tmp_path, "line", LINE, rewards=[TEMPORAL]))
    assert done.returncode == 2 and "/rewards/0: " in done.stderr and "one frame" in done.stderr, done.stderr


@pytest.mark.parametrize("more", [[], ["--frames", "7", "--config", '{"change_scale": 0.5}']], ids=["default", "7 frames"])
def test_the_validator_finds_nothing_broken_in_the_plugin(more):
    done = thalweg("plugins", "--validate", BUILD / "plugins" / "temporal.so", "--height", "16", "--width", "16", *more)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_that_freezes_raises_the_alarm(tmp_path):
    """Trained on calm alone, the mixture gives up one of its two modes, and frames become alike."""
    job = align_job(tmp_path, iterations=40, rewards=[TEMPORAL], optimizer={"name": "adamw", "learning_rate": 0.15},
                    evaluate={"every": 20, "steps": 10, "pictures": 0})
    folder = run(write_job(tmp_path / "job.json", {**job, "output": str(tmp_path / "run")}), tmp_path / "run")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    motion = [row["motion"] for row in rows if row["kind"] == "eval"]
    alarms = {alarm["type"]: alarm for alarm in json.loads((folder / "result.json").read_text())["alarms"]}
    assert motion[-1] < 0.4 * motion[0], motion
    assert alarms["motion_drop"]["until"] is None
    assert all("motion" in row for row in rows if row["kind"] == "train")
