"""docs/api.md and /openapi.json say the routes that there are, and the shipped presets are models of fine-tuning requests."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from service_server import PROGRAM, ROOT, sample_job

PLUGINS = pathlib.Path(os.environ.get("THALWEG_BUILD", ROOT / "build/release")) / "tests/plugins"
DOCS = (ROOT / "docs/api.md").read_text()


def test_the_routes_of_the_page_are_those_of_the_server(server):
    document = server.get("/openapi.json")[1]
    routes = {f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs}
    told = set(re.findall(r"`((?:GET|POST|DELETE) /[^` ]*)`", DOCS))
    assert told == routes


def test_openapi_holds_together(server):
    document = server.get("/openapi.json")[1]
    assert document["openapi"].startswith("3.1")
    text = str(document)
    schemas = document["components"]["schemas"]
    used = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert used <= set(schemas) and set(schemas) <= used
    ids = [op["operationId"] for verbs in document["paths"].values() for op in verbs.values()]
    assert len(ids) == len(set(ids))
    for path, verbs in document["paths"].items():
        names = set(re.findall(r"{(\w+)}", path))
        for operation in verbs.values():
            assert {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"} == names


def test_every_preset_is_a_job(server):
    models = server.get("/v1/models")[1]["data"]
    assert {m["id"] for m in models} == {p.stem for p in (ROOT / "assets/presets").glob("*.json")}


def blocks(language):
    return [b.replace("http://127.0.0.1:8080", "{url}").replace("localhost:8080", "{host}")
            for b in re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)]


def test_the_pages_client_runs_as_it_stands(server):
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code.replace("{url}", server.url)], cwd=server.folder / "root", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "the job was accepted" in done.stdout
    (job,) = server.get("/v1/jobs")[1]["data"]
    assert server.until(job["id"], "paused")["job"]["prompts"]["train"].startswith("file-")


def test_the_readme_shows_the_same_client():
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"```python\n(.*?)```", DOCS, re.DOTALL).group(0) in readme


def test_the_pages_shell_runs_as_it_stands(server, tmp_path):
    """But for the server itself, which is there, and for the job, which is short."""
    code, loading = blocks("sh")
    (server.folder / "root/rewards").mkdir()
    shutil.copy(PLUGINS / "good.so", server.folder / "root/rewards/mine.so")
    code += loading
    lines = [line for line in code.splitlines() if not line.startswith("thalweg serve")]
    short = tmp_path / "short.json"
    short.write_text(json.dumps(sample_job()))
    script = "\n".join(lines).replace("{host}", server.url.removeprefix("http://")).replace("assets/jobs/demo.json", str(short))
    environment = {**os.environ, "THALWEG_SERVER": server.url, "ADMIN": "none", "PATH": f"{os.path.dirname(PROGRAM)}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euc", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"plugin":"mine"' in done.stdout
    assert "succeeded" in done.stdout and len(server.get("/v1/jobs")[1]["data"]) == 2
