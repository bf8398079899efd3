"""docs/api.md and /openapi.json say the routes that there are, and the shipped presets are models of fine-tuning requests."""

import re

from conftest import ROOT

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
