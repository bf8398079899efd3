"""Plugins of yesterday work today, and the headers of a published version never change (tests/abi/frozen)."""

import json
import pathlib
import re
import subprocess

import pytest
from parity_tool import ROOT
from program import thalweg

FROZEN = ROOT / "tests/abi/frozen"
LIVE = ROOT / "plugins/include"
VERSIONS = sorted(path.name for path in FROZEN.iterdir() if path.is_dir())
# What the host fills, with `size` first; all else has one size for a major version.
MAY_GROW = {"thalweg_activation", "thalweg_score_request"}


def declarations(include, name):
    """A header without comments and white space."""
    text = (include / "thalweg" / name).read_text()
    return re.sub(r"\s+", " ", re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)).strip()


def headers(include):
    root = include / "thalweg"
    return {path.relative_to(root).as_posix() for path in root.rglob("*.h")}


def version(include):
    text = declarations(include, "version.h")
    return tuple(int(re.search(rf"THALWEG_ABI_{part} (\d+)", text).group(1)) for part in ("MAJOR", "MINOR"))


def structs(include):
    """Members of each struct, in order."""
    found = {}
    for name in sorted(headers(include)):
        for body, struct in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", declarations(include, name)):
            members = []
            for declaration in filter(None, (part.strip() for part in body.split(";"))):
                pointer = re.search(r"\(\*(\w+)\)", declaration)
                members.append(pointer.group(1) if pointer else re.search(r"(\w+)$", declaration).group(1))
            found[struct] = members
    return found


def layout(include, folder, members):
    """{"struct": size, "struct.member": (offset, size)} as the C compiler lays it out."""
    lines = [f"#include <thalweg/{name}>" for name in sorted(headers(include))]
    lines += ["#include <stddef.h>", "#include <stdio.h>", "int main(void) {"]
    for struct, names in members.items():
        lines.append(f'  printf("{struct} %zu\\n", sizeof({struct}));')
        for name in names:
            lines.append(f'  printf("{struct}.{name} %zu %zu\\n", offsetof({struct}, {name}), '
                         f"sizeof((({struct}*)0)->{name}));")
    source, program = folder / "layout.c", folder / "layout"
    source.write_text("\n".join(lines + ["  return 0;", "}"]) + "\n")
    subprocess.run(["cc", "-std=c11", f"-I{include}", str(source), "-o", str(program)], check=True)
    rows = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    return {row.split()[0]: tuple(map(int, row.split()[1:])) for row in rows}


def test_this_version_is_frozen_and_in_the_changelog():
    major, minor = version(LIVE)
    assert f"{major}.{minor}" in VERSIONS, "copy plugins/include/thalweg (the C headers) to tests/abi/frozen/VERSION"
    assert f"\n## {major}.{minor}\n" in (ROOT / "plugins/CHANGELOG.md").read_text()


def test_a_version_has_one_set_of_declarations():
    """Only comments may change without a new version."""
    frozen = FROZEN / ".".join(map(str, version(LIVE)))
    assert headers(frozen) == headers(LIVE)
    for name in headers(LIVE):
        assert declarations(frozen, name) == declarations(LIVE, name), (
            f"thalweg/{name} has changed: a new version in version.h, a section of plugins/CHANGELOG.md and a copy "
            "of the headers in tests/abi/frozen are due")


@pytest.mark.parametrize("name", VERSIONS)
def test_structs_lie_where_they_lay(name, tmp_path):
    frozen = FROZEN / name
    assert f"{version(frozen)[0]}.{version(frozen)[1]}" == name
    if version(frozen)[0] != version(LIVE)[0]:
        pytest.skip("of another major version: such plugins are refused by name")
    old = structs(frozen)
    assert {"thalweg_plugin_entry", "thalweg_reward", "thalweg_score_request", "thalweg_host"} <= set(old)
    before, now = layout(frozen, tmp_path, old), layout(LIVE, tmp_path, old)
    for place, size in before.items():
        if place in MAY_GROW:
            assert now[place] >= size, place
        else:
            assert now[place] == size, place


@pytest.mark.parametrize("name", VERSIONS)
def test_the_canary_sings(name, tmp_path):
    frozen, plugin = FROZEN / name, tmp_path / "canary.so"
    subprocess.run(["cc", "-std=c11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror",
                    f"-I{frozen}", str(frozen / "canary.c"), "-o", str(plugin)], check=True)
    done = thalweg("plugins", "--validate", plugin, "--json")
    report = json.loads(done.stdout)
    broken = [clause for clause in report["clauses"] if clause["outcome"] == "failed"]
    if version(frozen)[0] == version(LIVE)[0]:
        assert done.returncode == 0 and broken == [] and report["ok"] > 40, broken
    else:
        assert done.returncode == 2 and [clause["clause"] for clause in broken] == ["abi.major"]


def test_the_glue_of_a_later_version_runs_in_this_host(tmp_path):
    """It asks for what the first version had, not for the size of its own structs."""
    include = tmp_path / "include"
    subprocess.run(["cp", "-r", str(LIVE), str(include)], check=True)
    header = include / "thalweg/request.h"
    text = header.read_text()
    for struct in sorted(MAY_GROW):
        assert f"}} {struct};" in text
        text = text.replace(f"}} {struct};", f"  uint64_t of_tomorrow;\n}} {struct};")
    header.write_text(text)
    plugin = tmp_path / "color.so"
    subprocess.run(["c++", "-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{include}",
                    str(ROOT / "plugins/color/color.cpp"), "-o", str(plugin)], check=True)
    done = thalweg("plugins", "--validate", plugin)
    assert done.returncode == 0 and " 0 FAILED" in done.stdout, done.stdout


def test_a_moved_member_is_found(tmp_path):
    """The checks above see what they are for."""
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", str(FROZEN / VERSIONS[-1]), str(moved)], check=True)
    header = pathlib.Path(moved / "thalweg/host.h")
    header.write_text(header.read_text().replace("  const char* name;", "  const char* alias;\n  const char* name;"))
    assert declarations(moved, "host.h") != declarations(LIVE, "host.h")
    old = structs(FROZEN / VERSIONS[-1])
    assert layout(moved, tmp_path, old)["thalweg_host.name"] != layout(LIVE, tmp_path, old)["thalweg_host.name"]
