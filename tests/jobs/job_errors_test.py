"""What the program says of a wrong job: exit code 2, one line that names the place, nothing else."""

import json

import pytest
from base_jobs import MISSING, base_jobs, changed
from program import thalweg, validated, write_job

KINDS = ["sample", "score", "evaluate", "align", "train_reward", "pretrain"]

# Pointer, value, where the message points, what it says; for every kind of job.
EVERY_KIND = [
    ("/sede", 1, "/sede", 'unknown key (did you mean "seed"?)'),
    ("/seed", "zero", "/seed", "must be an integer, not a value of type string"),
    ("/seed", -1, "/seed", "must be from 0 to 9223372036854775807, not -1"),
    ("/output", MISSING, "/output", "is missing"),
    ("/output", "", "/output", "must name a folder"),
    ("/version", 2, "/version", "must be from 1 to 1"),
]

# The same for one kind.
ONE_KIND = [
    ("sample", "/a~b/c", 1, "/a~0b", "unknown key"),
    ("sample", "/seed", 1.5, "/seed", "must be an integer"),
    ("sample", "/seed", 2**63, "/seed", "must be from 0"),
    ("sample", "/seed", None, "/seed", "must be an integer"),
    ("sample", "/output", ["runs"], "/output", "must be a text"),
    ("sample", "/output", "runs/a\0b", "/output", "holds a NUL character"),
    ("sample", "/version", MISSING, "/version", "is missing"),
    ("sample", "/job", "smaple", "/job", 'knows no "smaple" (did you mean "sample"?)'),
    ("sample", "/job", MISSING, "/job", "is missing"),
    ("sample", "/k\x1b[31m", 1, "/k?[31m", "unknown key"),
    ("sample", "/model/path", "nowhere", "/model/path", '"nowhere" does not exist'),
    ("sample", "/model/path", MISSING, "/model/path", "is missing"),
    ("sample", "/model", [], "/model", "must be an object"),
    ("sample", "/model/dtype", "bfloat61", "/model/dtype", 'did you mean "bfloat16"?'),
    ("sample", "/model/lora/path", "nowhere.safetensors", "/model/lora/path", "does not exist"),
    ("sample", "/model/lora/path", MISSING, "/model/lora/path", "is missing"),
    ("sample", "/model/lora/rank", 0, "/model/lora/rank", "must be from 1"),
    ("sample", "/model/loras", [{"path": "prompts.txt"}], "/model/loras", "no meaning beside /model/lora"),
    ("evaluate", "/model/loras", [{"weight": 1.0}], "/model/loras/0/path", "is missing"),
    ("evaluate", "/model/loras", [{"path": "nowhere.safetensors"}], "/model/loras/0/path", "does not exist"),
    ("evaluate", "/model/loras", [{"path": "a", "weight": 101}], "/model/loras/0/weight", "must be from -100"),
    ("align", "/model/loras", [{"path": "nowhere.safetensors"}], "/model/loras", 'did you mean "lora"?'),
    ("sample", "/prompts", MISSING, "/prompts", "is missing"),
    ("sample", "/prompts/path", "nowhere.txt", "/prompts", "either texts or path"),
    ("sample", "/prompts/texts", [], "/prompts", "either texts or path"),
    ("sample", "/prompts/texts", ["a", 7], "/prompts/texts/1", "must be a text"),
    ("sample", "/sampler/name", "flow_oed", "/sampler/name", 'knows no "flow_oed" (did you mean "flow_ode"?)'),
    ("sample", "/sampler/noise_level", 0.7, "/sampler/noise_level", "unknown key"),
    ("sample", "/sampler/stesp", 4, "/sampler/stesp", 'did you mean "steps"?'),
    ("sample", "/sampler/steps", -1, "/sampler/steps", "must be from 0 to 1000, not -1"),
    ("sample", "/sampler/steps", 4.0, "/sampler/steps", "must be an integer"),
    ("sample", "/sampler/guidance_scale", 100.5, "/sampler/guidance_scale", "must be from 0 to 100"),
    ("sample", "/sampler/guidance_scale", True, "/sampler/guidance_scale", "must be a number"),
    ("sample", "/sampler/guidance_interval", {"begin": 4}, "/sampler/guidance_interval/begin", "at most 3"),
    ("sample", "/sampler/guidance_interval", {"begin": 2, "size": 3}, "/sampler/guidance_interval/size", "at most 2, or 0"),
    ("sample", "/latents", "nowhere.safetensors", "/latents", "does not exist"),
    ("sample", "/save_latents", 1, "/save_latents", "must be true or false"),
    ("sample", "/rewards/0/plugin", "colour", "/rewards/0/plugin", 'did you mean "color"?'),
    ("sample", "/rewards/1", {"weight": 1}, "/rewards/1/plugin", "is missing"),
    ("sample", "/rewards/0/wieght", 1, "/rewards/0/wieght", 'did you mean "weight"?'),
    ("sample", "/rewards/0/transform/name", "log_sigmiod", "/rewards/0/transform/name", 'did you mean "log_sigmoid"?'),
    ("sample", "/combine/name", "weigthed", "/combine/name", 'did you mean "weighted"?'),
    ("score", "/frames", "nowhere.safetensors", "/frames", "does not exist"),
    ("score", "/frames", MISSING, "/images", "either images or frames"),
    ("score", "/images", "nowhere", "/images", "either images or frames"),
    ("score", "/prompts/path", "nowhere.txt", "/prompts/path", "does not exist"),
    ("score", "/rewards", MISSING, "/rewards", "is missing"),
    ("score", "/rewards", [], "/rewards", "names no reward"),
    ("score", "/rewards/0/plugin", "scenes", "/rewards/0/plugin", 'did you mean "scene"?'),
    ("score", "/rewards/0/plugin", "./nowhere.so", "/rewards/0/plugin", "no file ./nowhere.so"),
    ("score", "/rewards/0/dimensions", {"redness": "1"}, "/rewards/0/dimensions/redness", "must be a number"),
    ("score", "/batchsize", 4, "/batchsize", 'did you mean "batch_size"?'),
    ("evaluate", "/guidance/1/guidance_scale", -1, "/guidance/1/guidance_scale", "must be from 0 to 100"),
    ("evaluate", "/guidance/2", {}, "/guidance/2/guidance_scale", "is missing"),
    ("evaluate", "/guidance", {"guidance_scale": 1}, "/guidance", "must be a list"),
    ("evaluate", "/prompts/path", "nowhere.txt", "/prompts/path", "does not exist"),
    ("evaluate", "/model/path", "nowhere", "/model/path", "does not exist"),
    ("evaluate", "/size/hieght", 8, "/size/hieght", 'did you mean "height"?'),
    ("evaluate", "/sampler", {}, "/sampler", "unknown key"),
    ("align", "/method/name", "flow_grop", "/method/name", 'knows no "flow_grop" (did you mean "flow_grpo"?)'),
    ("align", "/method/name", MISSING, "/method/name", "is missing"),
    ("align", "/method", MISSING, "/method", "is missing"),
    ("align", "/method/beta", 1.0, "/method/beta", "unknown key"),
    ("align", "/method/group_size", 1, "/method/group_size", "must be from 2"),
    ("align", "/method/name", "diffusion_nft", "/method/clip_range", "unknown key"),
    ("align", "/sampler/name", "flow_sdf", "/sampler/name", 'did you mean "flow_sde"?'),
    ("align", "/sampler/noise_level", 0, "/sampler/noise_level", "must be above 0"),
    ("align", "/sampler/window/begin", 5, "/sampler/window/begin", "leaves no step to train"),
    ("align", "/sampler/window/size", 7, "/sampler/window/size", "at most 6, or 0"),
    ("align", "/sampler/guidance_interval", {"begin": 6}, "/sampler/guidance_interval/begin", "at most 5"),
    ("align", "/sampler/window/size", "all", "/sampler/window/size", "must be an integer"),
    ("align", "/prompts/train", "nowhere.txt", "/prompts/train", "does not exist"),
    ("align", "/prompts/eval", MISSING, "/prompts/eval", "is missing"),
    ("align", "/optimizer/name", "adamv", "/optimizer/name", 'did you mean "adamw"?'),
    ("align", "/optimizer/lr", 1e-4, "/optimizer/lr", "unknown key"),
    ("align", "/optimizer/learning_rate", "fast", "/optimizer/learning_rate", "must be a number"),
    ("align", "/rewards/0/plugin", "colr", "/rewards/0/plugin", 'did you mean "color"?'),
    ("align", "/evaluate/baselines/0/guidance_scale", 1e3, "/evaluate/baselines/0/guidance_scale", "must be from 0"),
    ("align", "/parallel/micro_batch", 0, "/parallel/micro_batch", "must be from 1"),
    ("align", "/iterations", 0, "/iterations", "must be from 1"),
    ("pretrain", "/architecture", MISSING, "/architecture", "is missing"),
    ("pretrain", "/architecture/transformer", MISSING, "/architecture/transformer", "config.json"),
    ("pretrain", "/architecture/transformer/patch_size", 0, "/architecture/transformer", "patch_size"),
    ("pretrain", "/data/world", "scene", "/data/world", 'did you mean "scenes"?'),
    ("pretrain", "/flow/steps", 0, "/flow/steps", "must be from 1"),
    ("pretrain", "/flow/learning_rat", 1, "/flow/learning_rat", 'did you mean "learning_rate"?'),
    ("pretrain", "/dtype", "float16", "/dtype", "did you mean"),
    ("pretrain", "/vae", 7, "/vae", "must be an object"),
]

SETTINGS = [
    ("seed=1", "--set seed=1", "/json/pointer=value"),
    ("/seed", "--set /seed", "/json/pointer=value"),
    ("", "--set ", "/json/pointer=value"),
    ("/seed=many", "/seed", "must be an integer"),
    ("/sampler/stesp=4", "/sampler/stesp", 'did you mean "steps"?'),
    ("/seed/deep=1", "--set /seed/deep=1", "leads nowhere"),
    ("/rewards/first/weight=1", "--set /rewards/first/weight=1", "leads nowhere"),
    ("/rewards/01/weight=1", "--set /rewards/01/weight=1", "leads nowhere"),
    ("/rewards/4000000000/weight=1", "--set /rewards/4000000000/weight=1", "leads nowhere"),
    ("/rewards/-/weight=1", "/rewards/1/plugin", "is missing"),
    ("/a" * 65 + "=1", "--set /a", "nested deeper than 64 levels"),
    ("/output=\udcff", "--set /output=?", "is not valid UTF-8"),
    ("/seed~2=1", "--set /seed~2=1", "leads nowhere"),
    ('/rewards=[{"plugin": "color", "plugin": "scene"}]', "--set /rewards=", "given twice"),
]

NOT_JOBS = {
    "empty": (b"", "not valid JSON"),
    "not_json": (b"version: 1\n", "not valid JSON"),
    "cut_short": (b'{"version": 1, "job": "sample"', "not valid JSON"),
    "two_values": (b"{} {}", "not valid JSON"),
    "nan": (b'{"version": NaN}', "not valid JSON"),
    "too_large_number": (b'{"version": 1, "job": "score", "seed": 1e400}', "not valid JSON"),
    "not_utf8": (b'{"version": 1, "job": "s\xff"}', "not valid JSON"),
    "control_characters": (b'{"version": "\x1b[31m', "not valid JSON"),
    "byte_order_mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "long_text": (b'{"version": "' + b"x" * 1_000_000, "not valid JSON"),
    "duplicate_key": (b'{"version": 1, "job": "score", "version": 1}', 'the key "version" is given twice'),
    "deep_duplicate": (b'{"model": {"path": "a", "lora": {}, "path": "b"}}', 'the key "path" is given twice'),
    "deep": (b'{"a":' * 100 + b"1" + b"}" * 100, "nested deeper than"),
    "deep_unclosed": (b"[" * 1_000_000, "nested deeper than"),
    "list": (b"[]", "must be an object"),
    "number": (b"7", "must be an object"),
    "large": (b" " * (5 << 20) + b"{}", "is larger than"),
}


def assert_refused(done, place, words):
    """One line on stderr, `thalweg: PLACE: words`; nothing on stdout."""
    assert done.returncode == 2, (done.returncode, done.stderr, done.stdout)
    assert done.stdout == ""
    assert done.stderr.startswith(f"thalweg: {place}"), done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1 and len(done.stderr) < 1000, done.stderr
    for trace in ["terminate called", "Exception raised from", "internal error", "0x"]:
        assert trace not in done.stderr


@pytest.fixture
def jobs(tmp_path):
    return base_jobs(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_base_jobs_are_valid(kind, jobs, tmp_path):
    """Else every error below would be another one than its row says."""
    path = write_job(tmp_path / "job.json", jobs[kind])
    done = thalweg("validate", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert vars(validated(path)).items() <= vars(done).items()


@pytest.mark.parametrize("kind,pointer,value,place,words",
                         [(kind, *row) for kind in KINDS for row in EVERY_KIND] + ONE_KIND)
def test_wrong_value(kind, pointer, value, place, words, jobs, tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(changed(jobs[kind], pointer, value)))
    assert_refused(validated(path), place + ": ", words)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [EVERY_KIND[0], EVERY_KIND[-1]], ids=["first", "last"])
def test_a_run_says_the_same_and_writes_nothing(kind, row, jobs, tmp_path):
    """Of the rows above, and `validate` as well, which they ask by other means."""
    pointer, value, place, words = row
    path = write_job(tmp_path / "job.json", changed(jobs[kind], pointer, value))
    done = thalweg("run", path)
    assert_refused(done, place + ": ", words)
    for other in (thalweg("validate", path), validated(path)):
        assert (other.returncode, other.stdout, other.stderr) == (done.returncode, done.stdout, done.stderr)
    assert not (tmp_path / "out" / "job.json").exists() or kind == "pretrain"


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_no_folder_can_be(kind, jobs, tmp_path):
    path = write_job(tmp_path / "job.json", {**jobs[kind], "output": "README.md/runs"})
    assert_refused(thalweg("run", path), "/output: ", "is not a folder")


NFT = {"name": "diffusion_nft"}


@pytest.mark.parametrize("policy", ["fixed", "random", "progressive", "decay"])
@pytest.mark.parametrize("kind,more", [("sample", {}), ("align", {"method": NFT}), ("align", {})], ids=["sample", "nft", "grpo"])
@pytest.mark.parametrize("window,place,words", [
    ({"begin": 7, "size": 3}, "begin", "outside of the schedule: 7; at most 5"),
    ({"begin": 4, "size": 3}, "size", "3 steps from step 4; at most 2, or 0: to the end"),
    ({"begin": 4, "size": 2}, None, ""), ({"begin": 4}, None, ""), ({"size": 6}, None, "")], ids=str)
def test_windows_lie_within_the_schedule(kind, more, policy, window, place, words, jobs, tmp_path):
    sampler = {**jobs["align"]["sampler"], "window": {**window, "policy": policy}}
    done = validated(write_job(tmp_path / "job.json", {**jobs[kind], "sampler": sampler, **more}))
    if not place:
        assert (done.returncode, done.stderr) == (0, "")
    elif kind == "align" and not more and place == "begin":  # the method's own rule says more
        assert_refused(done, "/sampler/window/begin: ", "leaves no step to train; it must be below 5")
    else:
        assert_refused(done, f"/sampler/window/{place}: ", words)


@pytest.mark.parametrize("policy", ["random", "progressive", "decay"])
def test_a_window_that_moves_to_the_step_that_is_never_trained(policy, jobs, tmp_path):
    window = {"begin": 0, "size": 1}
    job = lambda **keys: {**jobs["align"], "sampler": {**jobs["align"]["sampler"], "window": {**window, **keys}}}
    done = validated(write_job(tmp_path / "job.json", job(policy=policy)))
    assert_refused(done, "/sampler/window/size: ", "never trained; take 2 or more")
    assert validated(write_job(tmp_path / "fixed.json", job(policy="fixed"))).returncode == 0
    assert validated(write_job(tmp_path / "two.json", job(policy=policy, size=2))).returncode == 0


@pytest.mark.parametrize("setting,place,words", SETTINGS, ids=[row[0][:30] or "empty" for row in SETTINGS])
def test_wrong_setting(setting, place, words, jobs, tmp_path):
    path = write_job(tmp_path / "job.json", jobs["sample"])
    assert_refused(thalweg("run", path, "--set", setting), place, words)


@pytest.mark.parametrize("name", NOT_JOBS)
def test_file_that_is_no_job(name, tmp_path):
    content, words = NOT_JOBS[name]
    path = tmp_path / "job.json"
    path.write_bytes(content)
    done = thalweg("run", path)
    assert_refused(done, "/: " if "must be an object" in words else f"{path}: ", words)


def test_job_file_that_is_not_there(tmp_path):
    assert_refused(thalweg("run", tmp_path / "nowhere.json"), f"{tmp_path / 'nowhere.json'}: ", "no such file")
    assert_refused(thalweg("run", tmp_path), f"{tmp_path}: ", "is a folder")


def test_setting_makes_a_wrong_job_right(jobs, tmp_path):
    """Settings are applied in order, before the job is read; texts need no quotes."""
    path = write_job(tmp_path / "job.json", changed(changed(jobs["sample"], "/seed", "x"), "/combine/name", "x"))
    done = thalweg("validate", path, "--set", "/seed=x", "--set", "/seed=4", "--set", "/combine/name=weighted",
                   "--set", "/prompts/texts/0=a = b", "--set", "/rewards/0/transform={\"name\": \"log_sigmoid\"}")
    assert (done.returncode, done.stderr) == (0, "")
