"""Every #include follows the folder rule: pipelines -> samplers, rewards -> engine; samplers and rewards never meet;
inside engine everything -> core, models -> weights, io -> weights, optim -> parallel, video -> io, and the program in
video/worker -> video, sandbox; plugins see their own folder, the plugin headers, plugins/shapes and plugins/pictures
(with which some are built) and, where they hold a network, engine's core, weights and models. The validator
(plugins/validator) is a part of the program: it sees the host's side, and pipelines/cli alone sees it. pipelines/service
is a program of its own: it sees engine/core.

Inside pipelines/ no files include each other in a circle (NAME.h and NAME.cpp are one); the tables (builtin.cpp) are
included by nobody; and the name of a method stands in pipelines/methods/ and in its row of the table alone. The files of
pipelines/methods/ are below 250 lines each, and no two share a run of six.

Runs under pytest, and alone: python3 tests/layering_test.py
"""
import itertools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECKED = ("engine", "samplers", "rewards", "plugins", "pipelines")
SUFFIXES = {".h", ".hpp", ".c", ".cpp", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

TABLES = "pipelines/builtin"
PLAIN_WORDS = {"draft"}  # names of methods that prose and code have other uses for
ENGINE_EDGES = {"models": {"weights"}, "io": {"weights"}, "optim": {"parallel"}, "video": {"io"},
                "video/worker": {"video", "sandbox"}}
# Libraries that only some folders may use. An empty tuple: nobody.
LIBRARIES = {
    "torch/torch.h": (),
    "torch/all.h": (),
    "torch/nn": (),
    "CLI/": ("pipelines/cli", "pipelines/service"),
    "boost/dll": ("rewards",),
    "boost/math": ("engine/models",),
    "unicode/": ("engine/models", "plugins/remote"),
    "stb": ("engine/io", "plugins/remote"),
    "curl/": ("plugins/remote",),
    "sqlite3.h": ("plugins/remote", "pipelines/service"),
    "boost/asio": ("pipelines/service",),
    "boost/beast": ("pipelines/service",),
    "jpeglib.h": ("engine/io", "plugins/jpeg"),
    "jerror.h": ("engine/io",),
    "seccomp.h": ("engine/sandbox",),
    "libav": ("engine/video/worker",),
    "libswscale": ("engine/video/worker",),
}


def unit(path: str) -> str:
    """The layer a file belongs to: engine/core, samplers, plugins/scene, pipelines/cli, ..."""
    parts = path.split("/")
    if parts[:3] == ["engine", "video", "worker"]:
        return "/".join(parts[:3])
    if parts[0] in ("engine", "plugins"):
        return "/".join(parts[:2])
    return "/".join(parts[:2]) if parts[:2] in (["pipelines", "cli"], ["pipelines", "service"]) else parts[0]


def allowed(source: str, target: str) -> bool:
    """Whether a file of unit `source` may include one of unit `target`."""
    if source == target:
        return True
    if target == "engine/video/worker":  # a program
        return False
    kind = source.split("/")[0]
    if kind == "engine":
        return target == "engine/core" or target in {
            f"engine/{name}" for name in ENGINE_EDGES.get(source.removeprefix("engine/"), ())
        }
    if kind == "samplers":
        return target.startswith("engine/")
    if kind == "rewards":
        return target.startswith("engine/") or target == "plugins/include"
    if source in ("plugins/include", "plugins/template"):
        return target == "plugins/include" and source != target
    if source == "plugins/validator":
        return target in {"plugins/include", "rewards", "engine/core"}
    if source == "plugins/shapes":
        return False
    if kind == "plugins":
        return target in {"plugins/include", "plugins/shapes", "plugins/pictures", "engine/core", "engine/weights", "engine/models"}
    if source == "pipelines/service":  # a program without LibTorch
        return target == "engine/core"
    if kind == "pipelines":
        if target in ("pipelines/cli", "pipelines/service", "plugins/validator"):
            return source == "pipelines/cli" and target == "plugins/validator"
        return target in {"pipelines", "samplers", "rewards", "plugins/include"} or target.startswith("engine/")
    return False


def resolve(root: pathlib.Path, source: str, name: str):
    """The path inside the repository that an include names, or None for a library's header."""
    if name.split("/")[0] in CHECKED or name.split("/")[0] == "tests":
        return name
    if (root / "plugins/include" / name).is_file():
        return f"plugins/include/{name}"
    beside = (root / source).parent / name
    if beside.is_file():
        return beside.resolve().relative_to(root.resolve()).as_posix()
    return None


def violations(root: pathlib.Path):
    """One line for each include that breaks the rule."""
    for folder in CHECKED:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SUFFIXES:
                continue
            source = path.relative_to(root).as_posix()
            for bracket, name in INCLUDE.findall(path.read_text(encoding="utf-8")):
                yield from check_include(root, source, bracket, name)


def check_include(root, source, bracket, name):
    target = resolve(root, source, name)
    if target is not None:
        if not (root / target).is_file():
            yield f"{source}: no such file: {name}"
        elif not allowed(unit(source), unit(target)):
            yield f"{source}: {unit(source)} may not include {unit(target)} ({name})"
        return
    if bracket == '"':
        yield f'{source}: "{name}" is no file of this repository; a library\'s header is included with <>'
    for library, users in LIBRARIES.items():
        if name.startswith(library) and not source.startswith(tuple(f"{user}/" for user in users)):
            yield f"{source}: <{name}> is only for {', '.join(users) or 'nobody'}"


def pipeline_graph(root: pathlib.Path):
    """What the files of pipelines/ include of each other; NAME.h and NAME.cpp are one node, NAME."""
    graph = {}
    for path in sorted((root / "pipelines").rglob("*")):
        if path.suffix not in SUFFIXES:
            continue
        node = path.relative_to(root).with_suffix("").as_posix()
        targets = graph.setdefault(node, set())
        for _, name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            target = pathlib.PurePosixPath(name).with_suffix("").as_posix()
            if target.startswith("pipelines/") and target != node:
                targets.add(target)
    return graph


def circles(root: pathlib.Path):
    """One line for each circle that a walk in depth finds."""
    graph, done = pipeline_graph(root), set()

    def walk(node, trail):
        if node in trail:
            yield "a circle: " + " -> ".join([*trail[trail.index(node):], node])
        elif node not in done:
            for target in sorted(graph.get(node, ())):
                yield from walk(target, [*trail, node])
            done.add(node)

    for node in sorted(graph):
        yield from walk(node, [])


def tables_are_on_top(root: pathlib.Path):
    """The tables know everything, so nothing may know them: they have no header."""
    for node, targets in pipeline_graph(root).items():
        if TABLES in targets:
            yield f"{node} includes {TABLES}"
    if (root / f"{TABLES}.h").exists():
        yield f"{TABLES}.h: the tables need no header; each is declared where its rows are"


def names_in(root: pathlib.Path, table: str):
    source = (root / f"{TABLES}.cpp").read_text(encoding="utf-8")
    found = re.search(table + r"\(\) \{(.*?)\n\}", source, re.DOTALL)
    return re.findall(r'\{"(\w+)",', found[1]) if found else []


def method_names(root: pathlib.Path):
    """Without those that a paper has also given its way to steer, whose name they are elsewhere."""
    return [name for name in names_in(root, "method_table") if name not in names_in(root, "steering_table")]


def methods_at_large(root: pathlib.Path):
    """Where a method's name stands outside of its folder and the table: as in a job, or as a class is called. One that is a
    plain word counts where it is quoted."""
    words = [f'"{name}"' for name in method_names(root) if name in PLAIN_WORDS]
    names = [name for name in method_names(root) if name not in PLAIN_WORDS]
    camel = ["".join(part.capitalize() for part in name.split("_")) for name in names]
    known = re.compile(r"\b(" + "|".join([*names, *(f"make_{name}" for name in method_names(root))]) + r")\b|(" +
                       "|".join([*camel, *words]) + ")")
    for folder in CHECKED:
        for path in sorted((root / folder).rglob("*")):
            source = path.relative_to(root).as_posix()
            if path.suffix not in SUFFIXES or source.startswith("pipelines/methods/") or source == f"{TABLES}.cpp":
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if found := known.search(line):
                    yield f"{source}:{number}: names the method {found[0]}"


METHODS = "pipelines/methods"
MOST_LINES = 249  # of a file there
RUN = 6  # lines that two of them may not share
LONE_BRACES = re.compile(r"[][{}();,]+")


def runs(path: pathlib.Path, braces: bool):
    """Each run of RUN lines and where it begins: blank lines and includes left out, lone braces unless they are to count."""
    lines = [(number, " ".join(line.split())) for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)]
    lines = [(number, line) for number, line in lines
             if line and not INCLUDE.match(line) and (braces or not LONE_BRACES.fullmatch(line))]
    found = {}
    for at in range(len(lines) - RUN + 1):
        part = lines[at:at + RUN]
        if not all(LONE_BRACES.fullmatch(line) for _, line in part):
            found.setdefault(tuple(line for _, line in part), part[0][0])
    return found


def method_files(root: pathlib.Path):
    return [path for path in sorted((root / METHODS).iterdir()) if path.suffix in SUFFIXES]


def shared_runs(root: pathlib.Path):
    """One line for each two files that say the same, where they begin to. What two methods share goes into their loop."""
    for braces in (True, False):
        of_file = {path.name: runs(path, braces) for path in method_files(root)}
        for (one, its), (other, others) in itertools.combinations(of_file.items(), 2):
            if same := its.keys() & others.keys():
                number, there = min((its[run], others[run]) for run in same)
                yield f"{METHODS}/{one}:{number} says what {other}:{there} says, for {RUN} lines or more"


def long_methods(root: pathlib.Path):
    for path in method_files(root):
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES:
            yield f"{METHODS}/{path.name}: {count} lines, above {MOST_LINES}"


def test_no_two_methods_share_a_run_of_lines():
    assert list(shared_runs(ROOT)) == []


def test_files_of_methods_are_short():
    assert len(method_files(ROOT)) > len(method_names(ROOT))
    assert list(long_methods(ROOT)) == []


def test_no_circle_between_files_of_pipelines():
    assert list(circles(ROOT)) == []


def test_nothing_includes_the_tables():
    assert list(tables_are_on_top(ROOT)) == []


def test_a_method_is_named_in_its_folder_and_its_row_alone():
    assert len(method_names(ROOT)) >= 3
    assert list(methods_at_large(ROOT)) == []


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_circles_and_names_are_found(tmp_path):
    files = {
        "pipelines/a.h": '#include "pipelines/x/b.h"\n',
        "pipelines/x/b.h": "",
        "pipelines/x/b.cpp": '#include "pipelines/x/c.h"\n',
        "pipelines/x/c.h": '#include "pipelines/a.h"\n// as_new_method_does\n',
        "pipelines/builtin.cpp": 'const T& method_table() {\n  static const T t = {\n      {"new_method", "doc", make_new_method},\n  };\n}\n',
        "pipelines/methods/new_method.cpp": "class NewMethod;\n",
        "pipelines/plan.cpp": '#include "pipelines/builtin.h"\nif (name == "new_method") {}\n',
        "engine/core/x.h": "class NewMethodOptions;\n",
    }
    write(tmp_path, files)
    for folder in CHECKED:
        (tmp_path / folder).mkdir(exist_ok=True)
    assert list(circles(tmp_path)) == ["a circle: pipelines/a -> pipelines/x/b -> pipelines/x/c -> pipelines/a"]
    assert list(tables_are_on_top(tmp_path)) == ["pipelines/plan includes pipelines/builtin"]
    assert list(methods_at_large(tmp_path)) == ["engine/core/x.h:1: names the method NewMethod",
                                                "pipelines/plan.cpp:2: names the method new_method"]


def test_shared_runs_and_long_files_are_found(tmp_path):
    shared = "int a;\n  int   b;\n\nvoid f() {\n  a = 1;\n}\nint c;\n"
    five = "int x() {\n  if (a) {\n    b = 2;\n  }\n  }\n}\n"
    write(tmp_path, {
        "pipelines/methods/one.cpp": "// One.\n" + shared,
        "pipelines/methods/other.h": '#include "x.h"\n' + shared.replace("int c", "\nint c"),
        "pipelines/methods/near.cpp": shared.replace("a = 1", "a = 2") + five + "int n;\n" * 236,
        "pipelines/methods/braces.cpp": five.replace("  }\n  }\n}", "}") + "\n" * 246,
        "pipelines/methods/README.md": shared + "\n" * 300,
    })
    assert list(shared_runs(tmp_path)) == [
        "pipelines/methods/one.cpp:2 says what other.h:2 says, for 6 lines or more"]
    assert list(long_methods(tmp_path)) == ["pipelines/methods/braces.cpp: 250 lines, above 249"]


def test_every_include_follows_the_folder_rule():
    assert list(violations(ROOT)) == []


def test_there_is_something_to_check():
    assert sum(1 for folder in CHECKED for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES) > 20


def test_a_forbidden_include_is_found(tmp_path):
    files = {
        "engine/core/value.h": "",
        "engine/losses/loss.cpp": '#include "engine/models/model.h"\n',
        "engine/models/model.h": '#include "engine/core/value.h"\n',
        "samplers/step.cpp": '#  include "rewards/host.h"\n#include <torch/torch.h>\n',
        "rewards/host.h": '#include "../samplers/step.h"\n',
        "samplers/step.h": "",
        "plugins/include/thalweg/entry.h": "#include <stdint.h>\n",
        "plugins/mine/mine.cpp": '#include <thalweg/entry.h>\n#include "engine/io/image.h"\n',
        "engine/io/image.h": '#include "nlohmann/json.hpp"\n',
        "pipelines/run.cpp": '#include "pipelines/cli/main.h"\n#include "samplers/absent.h"\n',
        "pipelines/cli/main.h": '#include "rewards/host.h"\n#include <CLI/CLI.hpp>\n',
    }
    write(tmp_path, files)
    found = sorted(line.split(": ")[0] for line in violations(tmp_path))
    assert found == [
        "engine/io/image.h",
        "engine/losses/loss.cpp",
        "pipelines/run.cpp",
        "pipelines/run.cpp",
        "plugins/mine/mine.cpp",
        "rewards/host.h",
        "samplers/step.cpp",
        "samplers/step.cpp",
    ]


if __name__ == "__main__":
    lines = [*violations(ROOT), *circles(ROOT), *tables_are_on_top(ROOT), *methods_at_large(ROOT), *shared_runs(ROOT),
             *long_methods(ROOT)]
    print("\n".join(lines) or "layering: every include follows the folder rule, and no two methods say the same")
    sys.exit(1 if lines else 0)
