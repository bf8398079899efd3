"""Guidance distilled into a mixture: the policy, drawn without any reward, against the closed form of what guidance drew."""

import json
import re

import mixtures
import pytest
from laboratory import JOBS, LINE, run, sample_job
from mixtures import REFERENCE, mixture, saved_latents, w1
from program import ROOT, thalweg, validated, write_job

LAW = mixtures.tilted(REFERENCE, 1.2)


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distilled") / "runs" / "laboratory_guidance_to_policy"
    return run(JOBS / "laboratory_guidance_to_policy.json", folder)


def train_rows(folder):
    return [row for row in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if row["kind"] == "train"]


def drawn(tmp_path, model, **keys):
    """Of 200 steps of the ODE."""
    job = sample_job(tmp_path, model, LINE, images_per_prompt=10000, sampler={"name": "flow_ode", "steps": 200, **LINE},
                     parallel={"micro_batch": 5000}, **keys)
    return saved_latents(run(job, tmp_path / "run"))["latents"]


# The exact soft value makes of a mixture a mixture, whose parameters the policy has.
def test_the_policy_becomes_the_tilted_law_itself(distilled):
    for found, law in zip(mixture(distilled / "model"), LAW):
        assert found == pytest.approx(law, abs=1e-4)
    rows = train_rows(distilled)
    assert rows[0]["distilled"] < 0.3 and rows[-1]["distilled"] > 0.999999
    assert all(row["guidance_failed_gradients"] == 0 for row in rows)


def test_without_a_reward_it_draws_what_guidance_drew(distilled, tmp_path):
    steered = json.loads((JOBS / "laboratory_flow_nrg.json").read_text())
    (tmp_path / "guided").mkdir()
    (tmp_path / "policy").mkdir()
    guided = saved_latents(run(write_job(tmp_path / "job.json", steered), tmp_path / "guided" / "run"))["latents"]
    policy = drawn(tmp_path / "policy", distilled / "model")
    distances = w1(guided, LAW), w1(policy, LAW)
    print(f"W1 to the tilted law: guided {distances[0]:.4f}, policy {distances[1]:.4f}")
    assert distances[1] < 0.03 and w1(policy, REFERENCE) > 1.4


def test_the_readme_says_how(distilled, capsys, monkeypatch):
    text = (ROOT / "assets/laboratory/README.md").read_text()
    check = re.search(r"laboratory_guidance_to_policy`.*?```python\n(.*?)```", text, re.DOTALL)[1]
    assert len(check.strip().splitlines()) <= 5
    monkeypatch.chdir(distilled.parents[1])
    exec("import json\nimport numpy as np\n" + check, {})
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", capsys.readouterr().out)]
    assert len(numbers) == 12
    assert numbers[0::2] == pytest.approx(numbers[1::2], abs=1e-4)


# With a kernel that draws noise the same targets are learnt at other states.
def test_the_law_does_not_depend_on_the_sampler(tmp_path):
    job = json.loads((JOBS / "laboratory_guidance_to_policy.json").read_text())
    job["sampler"] = {"name": "flow_sde", "steps": 40, **LINE}
    folder = run(write_job(tmp_path / "job.json", job), tmp_path / "run")
    for found, law in zip(mixture(folder / "model"), LAW):
        assert found == pytest.approx(law, abs=1e-4)


@pytest.mark.parametrize("entry, pointer", [
    ({"name": "fk", "value": "noisy_latents"}, "/method/steering/0/name"), ({"name": "flow_nrg", "lambda": 0}, "/method/steering"),
    ({"name": "flow_nrg", "window": {"begin": 40}}, "/method/steering/0/window/begin"), ({"name": "dps"}, "/rewards/1/use")], ids=str)
def test_what_cannot_be_distilled_is_refused(tmp_path, entry, pointer):
    job = json.loads((JOBS / "laboratory_guidance_to_policy.json").read_text())
    job["method"]["steering"] = [entry]
    done = validated(write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and pointer in done.stderr


def test_a_soft_value_of_another_mixture_is_refused(tmp_path):
    job = json.loads((JOBS / "laboratory_guidance_to_policy.json").read_text())
    job["rewards"][1]["config"]["means"] = [-1.5, 1.1]
    done = validated(write_job(tmp_path / "job.json", job))
    assert done.returncode == 2 and "/rewards/1/config" in done.stderr


def test_a_plan_counts_what_the_rollouts_ask_for(tmp_path):
    job = json.loads((JOBS / "laboratory_guidance_to_policy.json").read_text())
    done = thalweg("plan", write_job(tmp_path / "job.json", job), "--json", "--estimate")
    assert done.returncode == 0, done.stderr
    draw = json.loads(done.stdout)["draws"][0]
    samples = 256 * 300
    assert draw["samples"] == samples and draw["network_evaluations"] == pytest.approx(40 * samples, rel=1e-12)
    assert draw["reward_calls"] == draw["reward_gradients"] == 39 * samples
