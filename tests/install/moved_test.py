"""`make install` leaves what stands alone: it is moved, and runs with nothing of the clone or of its dependencies."""

import os
import re
import shutil
import subprocess

import pytest
from safetensors.numpy import load_file

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("THALWEG_BUILD", os.path.join(ROOT, "build", "release"))
SYSTEM = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|gcc_s|stdc\+\+))\.so(\.\d+)*$|linux-vdso")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("install")
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    subprocess.run(["cmake", "--install", BUILD, "--prefix", folder / "first"], check=True, capture_output=True)
    (folder / "first").rename(folder / "moved to another place")
    yield folder / "moved to another place"
    shutil.rmtree(folder)


def run(installed, *arguments, **options):
    """With an empty environment, far from the clone."""
    return subprocess.run(arguments, cwd=installed.parent, env={"PATH": "/usr/bin:/bin", "HOME": str(installed.parent)},
                          capture_output=True, text=True, timeout=300, **options)


def elf_files(installed):
    for path in sorted(installed.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.open("rb").read(4) == b"\x7fELF":
            yield path


def test_every_library_comes_from_the_installation_or_is_the_systems_own(installed):
    plugins = sorted((installed / "lib/thalweg/plugins").glob("*.so"))
    assert len(plugins) > 3
    for path in [installed / "bin/thalweg", installed / "bin/thalweg-reward-host", installed / "bin/thalweg-video"]:
        said = run(installed, "ldd", path).stdout
        assert "not found" not in said, said
        for line in said.splitlines():
            name, _, where = line.strip().partition(" => ")
            if not SYSTEM.search(name.split()[0]):
                assert where.startswith(str(installed)), line


def test_so_do_those_of_the_plugins(installed):
    """As the loader finds them: a plugin's libraries are looked for where the program's are."""
    said = run(installed, "env", "LD_DEBUG=libs", installed / "bin/thalweg", "plugins").stderr
    loaded = set(re.findall(r"calling init: (\S.*)", said))
    assert any("plugins/remote.so" in path for path in loaded) and any("libcurl" in path for path in loaded)
    for path in loaded:
        assert path.startswith(str(installed)) or SYSTEM.search(os.path.basename(path)), path


def test_run_paths_are_relative(installed):
    for path in elf_files(installed):
        said = run(installed, "readelf", "-d", path).stdout
        for paths in re.findall(r"R(?:UN)?PATH.*\[(.*)\]", said):
            assert all(part.startswith("$ORIGIN") for part in paths.split(":")), (path, paths)


def test_it_runs_where_it_was_moved_to(installed):
    program, assets = installed / "bin/thalweg", installed / "share/thalweg/assets"
    listed = run(installed, program, "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    assert str(installed) in listed.stdout and ROOT not in listed.stdout
    job = (f'{{"version": 1, "job": "sample", "model": {{"path": "{assets}/models/tiny-sd3"}}, "prompts": {{"texts": '
           f'["a red circle"]}}, "sampler": {{"steps": 2, "height": 64, "width": 64}}, "rewards": [{{"plugin": "scene"}}, '
           f'{{"plugin": "color", "isolation": "process"}}], "save_latents": true, "output": "out"}}')
    (installed.parent / "job.json").write_text(job)
    done = run(installed, program, "run", "job.json")
    assert done.returncode == 0, done.stderr
    assert load_file(installed.parent / "out" / "latents.safetensors")["latents"].std() > 0
