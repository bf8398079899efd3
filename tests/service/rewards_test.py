"""Rewards tried before a job is spent: whether they can be used, and what they say of a few pictures."""

import base64
import concurrent.futures

import pytest

from service_server import sample_job

SCENE = {"plugin": "scene", "dimensions": {"soft": 0.5, "strict": 0.5}}


@pytest.fixture
def drawn(server):
    """Bytes of two pictures of the embedded model."""
    answer = server.post("/v1/sample", sample_job(images_per_prompt=2))[1]
    return [sample["b64_json"] for sample in answer["data"]]


def form_of(name, content):
    body = (b"--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n"
            b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name.encode() + b"\"\r\n\r\n" + content + b"\r\n--xyz--\r\n")
    return body, {"Content-Type": "multipart/form-data; boundary=xyz"}


def upload(server, name, content):
    body, headers = form_of(name, content)
    return server.post("/v1/files", body, headers=headers, expect=201)[1]["id"]


def test_what_a_reward_says_of_itself(server):
    (info,) = server.post("/v1/rewards/validate", {"reward": SCENE})[1]["data"]
    assert info["name"] == "scene" and {"soft", "strict"} <= set(info["dimensions"]) and "prompts" in info["required_inputs"]
    both = server.post("/v1/rewards/validate", {"rewards": [SCENE, {"plugin": "jpeg", "config": {"measure": "compressibility"}}]})[1]["data"]
    assert [i["name"] for i in both] == ["scene", "jpeg"]


def test_the_same_pictures_by_bytes_by_id_and_by_path_have_the_same_values(server, drawn):
    (server.folder / "root/a.png").write_bytes(base64.b64decode(drawn[0]))
    ways = [{"b64_json": drawn[0]}, {"file_name": upload(server, "a.png", base64.b64decode(drawn[0]))}, {"file_name": "a.png"}]
    samples = [{**way, "prompt": "a red circle"} for way in ways] + [{"b64_json": drawn[1], "prompt": "a red circle"}]
    answer = server.post("/v1/rewards/run", {"rewards": [SCENE, {"plugin": "jpeg", "config": {"measure": "compressibility"}}], "samples": samples})[1]
    values = [row["values"] for row in answer["data"]]
    assert values[0] == values[1] == values[2] and values[0] != values[3]
    assert {"scene/soft", "scene/strict", "jpeg/compressibility"} <= set(values[0])
    for row in answer["data"]:
        assert {name for name, value in row["values"].items() if value is None} == set(row["not_scored"])
        assert all(isinstance(row["values"][name], (int, float)) for name in ("scene/soft", "jpeg/compressibility"))
    assert [c["reward"] for c in answer["calls"]] == ["scene", "jpeg"]
    assert str(server.folder) not in str(answer)
    assert not list((server.folder / "store/uploads").iterdir())


WRONG = [({"samples": [{"file_name": "a"}]}, "/rewards"),
         ({"reward": SCENE, "rewards": [SCENE], "samples": [{"file_name": "a"}]}, "/rewards"),
         ({"reward": SCENE}, "/samples"),
         ({"reward": SCENE, "samples": []}, "/samples"),
         ({"reward": SCENE, "samples": [{}]}, "/samples/0"),
         ({"reward": SCENE, "samples": [{"file_name": 3}]}, "/samples/0"),
         ({"reward": SCENE, "samples": [{"b64_json": "!!"}]}, "/samples/0/b64_json"),
         ({"reward": SCENE, "samples": [{"b64_json": base64.b64encode(b"text").decode()}]}, "/samples/0/b64_json"),
         ({"reward": SCENE, "samples": [{"file_name": "a", "prompt": 3}]}, "/samples/0/prompt"),
         ({"reward": SCENE, "samples": [{"file_name": "a"}], "seed": -1}, "/seed"),
         ({"reward": SCENE, "samples": [{"file_name": "a"}], "colour": 1}, "/colour"),
         ({"reward": {"plugin": "scen"}, "samples": [{"file_name": "a.png", "prompt": "x"}]}, "/rewards/0/plugin"),
         ({"reward": {"plugin": "jpeg", "config": {"measure": "beauty"}}, "samples": [{"file_name": "a.png", "prompt": "x"}]}, "/rewards/0/config")]


@pytest.mark.parametrize("body, pointer", WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_told_with_its_place(server, body, pointer):
    error = server.post("/v1/rewards/run", body, expect=400)[1]["error"]
    assert error["param"].startswith(pointer) and error["message"]


def test_nothing_is_reached_that_a_job_could_not_name(server):
    for name in ("/etc/passwd", "../x.png", "~/x.png", "http://127.0.0.1/x.png"):
        assert server.post("/v1/rewards/run", {"reward": SCENE, "samples": [{"file_name": name, "prompt": "x"}]}, expect=403)[1]["error"]["code"] in (
            "path_not_allowed", "host_not_allowed")
    for reward in ({"plugin": "./x.so"}, {"plugin": "python", "config": {"file": "x.py"}}):
        assert server.post("/v1/rewards/validate", {"reward": reward}, expect=403)[1]["error"]["code"] == "reward_not_allowed"


def test_a_picture_that_is_none_is_refused_and_the_next_is_scored(server, drawn):
    broken = base64.b64encode(base64.b64decode(drawn[0])[:60]).decode()
    assert server.post("/v1/rewards/run", {"reward": SCENE, "samples": [{"b64_json": broken, "prompt": "x"}]}, expect=400)[1]["error"]["message"]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(server.post, "/v1/rewards/run", {"reward": SCENE, "samples": [{"b64_json": drawn[0], "prompt": "a red circle"}]}) for _ in range(4)]
        assert len({str(a.result()[1]["data"]) for a in asked}) == 1
