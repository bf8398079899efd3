"""`thalweg reward new` and `thalweg reward try`: a reward of one's own, from nothing to scores of pictures."""

import json
import os
import re
import subprocess
import sys

import numpy
import pytest
from parity_tool import BUILD, ROOT
from PIL import Image
from program import ENVIRONMENT, PROGRAM

LANGUAGES = ["python", "c", "cpp"]
# `python3` of the skeleton is the one that runs the tests, which has numpy.
PATH = f"{os.path.dirname(sys.executable)}:{ENVIRONMENT['PATH']}"


def thalweg(folder, *arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300,
                          env={**ENVIRONMENT, "PATH": PATH})


def shell(folder, *command):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env={**ENVIRONMENT, "PATH": PATH})


def tried(folder, *arguments):
    done = thalweg(folder, "reward", "try", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=LANGUAGES)
def skeleton(request, tmp_path_factory):
    """A skeleton, as it is written."""
    folder = tmp_path_factory.mktemp("new")
    done = thalweg(folder, "reward", "new", "glow", f"--{request.param}")
    assert done.returncode == 0 and "glow/README.md" in done.stdout, done.stderr
    return request.param, folder / "glow"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number, level in ((2, 102), (10, 204)):
        Image.fromarray(numpy.full((8, 8, 3), level, numpy.uint8)).save(folder / f"{number}.png")
    return folder


def test_a_skeleton_passes_its_own_test(skeleton):
    language, folder = skeleton
    done = shell(folder, "python3", "test_glow.py") if language == "python" else shell(folder, "make", "test")
    assert done.returncode == 0 and "warning" not in done.stderr, done.stdout + done.stderr
    assert language == "python" or " 0 FAILED" in done.stdout


def test_and_fails_it_when_it_scores_the_other_way_round(skeleton, tmp_path):
    """On a copy, with its scores turned over."""
    language, folder = skeleton
    subprocess.run(["cp", "-r", folder, tmp_path / "turned"], check=True)
    file = tmp_path / "turned" / {"python": "glow.py", "c": "glow.c", "cpp": "glow.cpp"}[language]
    text = file.read_text()
    turned = {"python": ("return frames.mean", "return -frames.mean"), "c": ("(float)(sum /", "(float)(-sum /"),
              "cpp": ("static_cast<float>(sum /", "static_cast<float>(-sum /")}[language]
    assert turned[0] in text
    file.write_text(text.replace(*turned))
    for path in (tmp_path / "turned").glob("*.json"):
        path.write_text(path.read_text().replace(str(folder), str(tmp_path / "turned")))
    done = shell(tmp_path / "turned", "python3", "test_glow.py") if language == "python" else shell(tmp_path / "turned", "make", "test")
    assert done.returncode != 0


def test_it_has_no_trace_of_the_example_and_its_readme_is_five_lines(skeleton):
    _, folder = skeleton
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".so":
            text = path.read_text()
            assert "brightness" not in path.name + text and "@" not in text.replace("$@", ""), path
    assert len((folder / "README.md").read_text().splitlines()) == 5


def test_it_needs_the_public_headers_alone(skeleton, tmp_path):
    language, folder = skeleton
    if language == "python":
        pytest.skip("a function in Python needs no headers")
    subprocess.run(["cp", "-r", ROOT / "plugins/include", tmp_path / "include"], check=True)
    command = ["cc", "-std=c11"] if language == "c" else ["c++", "-std=c++17"]
    done = shell(folder, *command, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fPIC", "-shared", f"-I{tmp_path}/include",
                 f"glow.{language}", "-o", tmp_path / "glow.so")
    assert done.returncode == 0, done.stderr


def test_pictures_are_scored_from_anywhere(skeleton, pictures, tmp_path):
    language, folder = skeleton
    if language != "python":
        assert shell(folder, "make").returncode == 0
    found = tried(tmp_path, folder / "reward.json", pictures, folder / "pictures/white.png")
    assert [os.path.basename(row["file"]) for row in found["pictures"]] == ["2.png", "10.png", "white.png"]
    assert [row["values"]["glow/glow"] for row in found["pictures"]] == pytest.approx([0.4, 0.8, 1.0], abs=1e-6)
    assert all(row["not_scored"] == {} and row["prompt"] is None for row in found["pictures"])
    (calls,) = found["calls"]
    assert calls["reward"] == "glow" and calls["calls"] == 3 and calls["first_s"] > 0 and calls["others_s"] > 0
    if language == "c":
        assert found["gradients"] == []
    else:
        (gradient,) = found["gradients"]
        assert gradient["finite"] and gradient["agrees"] and gradient["problem"] == ""
        assert gradient["gradient"] == pytest.approx(1.0, abs=1e-3) == pytest.approx(gradient["difference"], abs=1e-3)
    (calls,) = tried(tmp_path, folder / "reward.json", pictures, "--batch", 8)["calls"]
    assert calls["calls"] == 1


def reward_file(folder, text, **config):
    (folder / "mine.py").write_text(text)
    path = folder / "reward.json"
    path.write_text(json.dumps({"plugin": "python", "config": {"file": str(folder / "mine.py"), "interpreter": sys.executable, **config}}))
    return path


def test_the_table(tmp_path, pictures):
    path = reward_file(tmp_path, "dimensions = ['level', 'other']\ndef score(frames):\n    level = float(frames.mean())\n"
                                 "    if level > 0.5:\n        raise ValueError('too bright')\n    return [[level, None]]\n")
    done = thalweg(tmp_path, "reward", "try", path, pictures)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["picture", "mine/level", "mine/other"]
    assert lines[1].split() == [f"{pictures}/2.png", "0.4", "-"] and lines[2].split() == [f"{pictures}/10.png", "-", "-"]
    assert lines[3] == f'{pictures}/2.png: mine/other is not scored: returned None or NaN for "other"'
    assert lines[4] == f"{pictures}/10.png: mine/level is not scored: raised ValueError: too bright (mine.py, line 5)"
    assert re.fullmatch(r"mine: 2 calls, the first [\d.e+-]+ ms, the others [\d.e+-]+ ms each", lines[6])
    assert "too bright" in done.stderr  # the traceback


def test_a_job_with_several_rewards(tmp_path, pictures):
    job = json.loads((ROOT / "assets/jobs/redness_tiny.json").read_text())
    job["rewards"] = [{"plugin": "color"}, {"plugin": "color", "config": {"channel": "blue"}}, {"plugin": "jpeg"}]
    (tmp_path / "job.json").write_text(json.dumps(job))
    Image.fromarray(numpy.full((8, 8, 3), (255, 0, 0), numpy.uint8)).save(tmp_path / "red.png")
    found = tried(tmp_path, "job.json", "red.png", pictures / "2.png")
    red, grey = found["pictures"]
    assert red["values"]["color/redness"] == pytest.approx(1) and red["values"]["color/blueness"] == pytest.approx(-0.5)
    assert grey["values"]["color/redness"] == pytest.approx(0, abs=1e-6)
    assert [row["reward"] for row in found["calls"]] == ["color", "color", "jpeg"]
    assert [(row["dimension"], row["agrees"]) for row in found["gradients"]] == [("color/redness", True), ("color/blueness", True)]


def test_prompts(tmp_path, pictures):
    path = reward_file(tmp_path, "def score(images, prompts):\n    return [float(len(prompt)) for prompt in prompts]\n")
    assert [row["values"]["mine/score"] for row in tried(tmp_path, path, pictures, "--prompt", "four")["pictures"]] == [4, 4]
    (tmp_path / "prompts.txt").write_text("a\nbcd\n")
    found = tried(tmp_path, path, pictures, "--prompts", "prompts.txt")["pictures"]
    assert [(row["prompt"], row["values"]["mine/score"]) for row in found] == [("a", 1), ("bcd", 3)]


def test_gradients_that_are_wrong_are_said(tmp_path, pictures):
    text = "import numpy\ndef score(frames):\n    return (frames ** 2).mean(axis=(1, 2, 3, 4))\ndef slope(frames, cotangent):\n    return {}\n"
    for formula, finite, agrees, said in (("2 * frames / frames[0].size", True, True, "finite, and agrees"),
                                          ("3 * frames / frames[0].size", True, False, "DISAGREES"),
                                          ("frames * numpy.nan", False, None, "failed: it is not finite"),
                                          ("1 / 0", False, None, "failed: its gradient failed: raised ZeroDivisionError")):
        path = reward_file(tmp_path, text.format(formula), gradient="slope")
        (gradient,) = tried(tmp_path, path, pictures)["gradients"]
        assert gradient["finite"] is finite and gradient["agrees"] is agrees, gradient
        assert said in thalweg(tmp_path, "reward", "try", path, pictures).stdout


def test_nothing_scored_is_exit_code_2_with_the_table(tmp_path, pictures):
    done = thalweg(tmp_path, "reward", "try", reward_file(tmp_path, "def score(frames):\n    return [None]\n"), pictures)
    assert done.returncode == 2 and "is not scored" in done.stdout


def test_what_is_wrong_says_what_to_do(tmp_path, pictures):
    good = reward_file(tmp_path, "def score(frames):\n    return frames.mean(axis=(1, 2, 3, 4))\n")
    (tmp_path / "mine2").mkdir()
    with_prompts = reward_file(tmp_path / "mine2", "def score(frames, prompts):\n    return [1.0]\n")
    (tmp_path / "unknown.json").write_text('{"plugin": "colour"}')
    (tmp_path / "job.json").write_text('{"job": "score", "rewards": [{"plugin": "color", "config": {"channel": "grey"}}]}')
    (tmp_path / "no.json").write_text('{"job": "pretrain"}')
    (tmp_path / "latents.json").write_text('{"plugin": "latent_prm", "config": {"path": "absent"}}')
    (tmp_path / "text.png").write_text("no picture\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    for arguments, said in (((good, "absent.png"), "thalweg: absent.png: there is no such picture or folder"),
                            ((good, "text.png"), "text.png: "), ((good, "empty"), "holds no PNG or JPEG"),
                            (("absent.json", pictures), "absent.json: "), (("no.json", pictures), "one reward of it"),
                            (("text.png", pictures), "text.png: "),
                            (("unknown.json", pictures), 'no reward plugin "colour" (did you mean "color"?)'),
                            (("job.json", pictures), "/rewards/0/config/channel: "),
                            ((with_prompts, pictures), "--prompt: mine scores a picture for its prompt: give --prompt TEXT"),
                            ((good, pictures, "--prompts", "three.txt"), "3 prompts for 2 pictures"),
                            ((good, pictures, "--prompts", "absent.txt"), "--prompts: "),
                            ((good, pictures, "--prompts", "three.txt", "--prompt", "a"), "--prompt"),
                            ((good, pictures, "--batch", "0"), "--batch"), ((good,), "pictures"),
                            ((good, pictures, "--device", "abacus"), "--device")):
        done = thalweg(tmp_path, "reward", "try", *arguments)
        assert done.returncode == 2 and done.stdout == "" and said in done.stderr, (arguments, done.returncode, done.stderr)


def test_names_of_skeletons(tmp_path):
    (tmp_path / "taken").mkdir()
    for arguments, said in ((("Glow", "--c"), "is no name of a reward"), (("../glow", "--c"), "is no name"), (("", "--c"), "no name"),
                            (("class!", "--python"), "no name"), (("taken", "--cpp"), "is there already"), (("glow",), "1 option from"),
                            (("glow", "--c", "--cpp"), "1 option from"), (("--c",), "name")):
        done = thalweg(tmp_path, "reward", "new", *arguments)
        assert done.returncode == 2 and said in done.stderr and os.listdir(tmp_path) == ["taken"], done.stderr
    assert thalweg(tmp_path, "reward").returncode == 2
    os.chmod(tmp_path, 0o500)
    try:
        done = thalweg(tmp_path, "reward", "new", "glow", "--c")
        assert os.geteuid() == 0 or (done.returncode == 1 and "glow" in done.stderr)
    finally:
        os.chmod(tmp_path, 0o700)


def test_pictures_of_several_sizes(tmp_path, pictures):
    Image.fromarray(numpy.full((4, 6, 3), 51, numpy.uint8)).save(tmp_path / "wide.png")
    (tmp_path / "reward.json").write_text(json.dumps({"plugin": str(BUILD / "plugins/color.so")}))
    found = tried(tmp_path, "reward.json", pictures / "2.png", "wide.png", pictures / "10.png", "--batch", 4)
    assert len(found["pictures"]) == 3 and found["calls"][0]["calls"] == 3
