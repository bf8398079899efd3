"""The commands of "A reward in Python" and "A reward in 15 minutes", in the README and in the template's, work as they are written."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
from parity_tool import BUILD, ROOT
from program import ENVIRONMENT, PROGRAM

# The same walk on fewer and smaller pictures.
SHORT = ["--set", "/iterations=1", "--set", "/sampler/steps=3", "--set", "/sampler/window/size=2",
         "--set", "/method/prompts_per_iteration=2", "--set", "/method/group_size=2", "--set", "/evaluate/steps=2",
         "--set", "/evaluate/pictures=1", "--set", "/prompts/eval={prompts}", "--set", "/prompts/select={prompts}"]


def blocks(path, heading):
    """Commands of the sh blocks below a heading, up to the next of its level."""
    level, text = heading.split(" ")[0], path.read_text()
    section = re.split(rf"^{level} ", text.split(f"\n{heading}\n")[-1] if level == "##" else text, flags=re.MULTILINE)
    body = section[0] if level == "##" else text
    return [command for block in re.findall(r"```sh\n(.*?)```", body, flags=re.DOTALL)
            for command in block.replace("\\\n", "").strip().splitlines()]


def shell(command, folder, **environment):
    return subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300,
                          env={**ENVIRONMENT, **environment})


@pytest.fixture
def tree(tmp_path):
    """A folder that looks like the root of the sources with a build in it."""
    for name in ("plugins", "assets"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "build/release").mkdir(parents=True)
    (tmp_path / "build/release/thalweg").symlink_to(PROGRAM)
    (tmp_path / "prompts.txt").write_text("a red circle\na blue square\n")
    return tmp_path


def test_readme(tree):
    build, validate, run = blocks(ROOT / "README.md", "## A reward in 15 minutes")
    done = shell(build, tree)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    done = shell(validate, tree)
    assert done.returncode == 0 and " 0 FAILED" in done.stdout, done.stdout
    short = " ".join(f"'{word}'" for word in SHORT).replace("{prompts}", str(tree / "prompts.txt"))
    done = shell(f"{run} {short}", tree)
    assert done.returncode == 0, done.stderr
    result = json.loads((tree / "runs/brightness/result.json").read_text())
    assert result["status"] == "succeeded" and 0 < result["eval"]["brightness/brightness"]["after"] <= 1


def test_readme_in_python(tree):
    write, run, new, trial = blocks(ROOT / "README.md", "## A reward in Python")
    assert shell(write, tree).returncode == 0
    short = " ".join(f"'{word}'" for word in SHORT).replace("{prompts}", str(tree / "prompts.txt"))
    done = shell(run.replace(".deps/venv/bin/python", sys.executable) + " " + short, tree)
    assert done.returncode == 0, done.stderr
    result = json.loads((tree / "runs/mine/result.json").read_text())
    assert result["status"] == "succeeded" and 0 < result["eval"]["my_reward/score"]["after"] <= 1
    assert shell(new, tree).returncode == 0
    done = shell(trial, tree, PATH=f"{pathlib.Path(sys.executable).parent}:{ENVIRONMENT['PATH']}")
    assert done.returncode == 0 and "glow/pictures/white.png  1\n" in done.stdout, done.stdout + done.stderr


def test_template(tree):
    """In a copy of the folder, as its step 4 has it."""
    subprocess.run(["cp", "-r", str(ROOT / "plugins/template"), str(tree / "mine")], check=True)
    build, validate, build_cxx = blocks(ROOT / "plugins/template/README.md", "# A reward in 15 minutes")
    done = shell(build, tree / "mine/c", THALWEG_INCLUDE=str(ROOT / "plugins/include"))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    done = shell(validate, tree / "mine/c", PATH=f"{PROGRAM.parent}:{ENVIRONMENT['PATH']}")
    assert done.returncode == 0 and " 0 FAILED" in done.stdout, done.stdout
    subprocess.run(["cp", str(ROOT / "plugins/color/color.cpp"), str(tree / "mine/my_reward.cpp")], check=True)
    done = shell(build_cxx, tree / "mine", THALWEG_INCLUDE=str(ROOT / "plugins/include"))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    done = shell(f"{PROGRAM} plugins --validate my_reward.so", tree / "mine")
    assert done.returncode == 0 and " 0 FAILED" in done.stdout, done.stdout


def test_validator_says_no_by_its_exit_code(tree):
    (tree / "bad.so").write_text("not a library\n")
    done = shell(f"{PROGRAM} plugins --validate bad.so", tree)
    assert done.returncode == 2 and "FAILED   file.library" in done.stdout
    assert "the file is not an ELF shared library" in done.stdout
    report = json.loads(shell(f"{PROGRAM} plugins --validate bad.so --json", tree).stdout)
    assert report["passed"] is False and report["failed"] == 1
    leaks = json.loads(shell(f"{PROGRAM} plugins --validate {BUILD}/tests/plugins/leaks_memory.so --json", tree).stdout)
    assert [clause["clause"] for clause in leaks["clauses"] if clause["outcome"] == "failed"] == ["life.nothing-left"]
    for wrong in ("--config '[1]'", "--config '{'", "--batch 1", "--prompts absent.txt"):
        done = shell(f"{PROGRAM} plugins --validate bad.so {wrong}", tree)
        assert done.returncode == 2 and done.stdout == "" and wrong.split()[0] in done.stderr, wrong
