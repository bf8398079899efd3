"""The page in a browser, at two widths: submit, watch, pause, resume, cancel, compare; nothing of a job is taken for markup."""

import json
import re
import shutil

import pytest

from service_server import KEY, align_job, sample_job

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser on this machine")


@pytest.fixture(params=[(1280, 800, "light"), (390, 844, "dark")], ids=["laptop", "phone"])
def page(request):
    width, height, scheme = request.param
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("dialog", lambda dialog: page.faults.append("dialog: " + dialog.message))
        page.set_default_timeout(60_000)
        yield page
        assert page.faults == []
        browser.close()


def fits(page):
    """Nothing makes the page itself wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_submit_watch_pause_resume_cancel(server, page):
    page.goto(server.url + "/#/submit")
    page.get_by_label("A job file, as").fill("{\"job\": \"align\"")
    page.get_by_role("button", name="Submit").click()
    assert page.get_by_role("alert").inner_text()
    page.get_by_label("A job file, as").fill(json.dumps(align_job(iterations=500)))
    page.get_by_role("button", name="Check it").click()
    page.get_by_text("It is right.").wait_for()
    page.get_by_role("button", name="Submit").click()
    page.locator("figure", has_text="held out: scene/strict").locator("svg").wait_for()
    page.locator("table.grid img").first.wait_for()
    assert fits(page)
    before = page.locator("figure", has_text="training: reward").locator("circle").count()
    page.locator("figure", has_text="training: reward").locator("circle").nth(before).wait_for(state="attached")
    page.get_by_role("button", name="pause").click()
    page.locator(".state.paused").wait_for()
    page.get_by_role("button", name="resume").click()
    page.locator(".state.running").wait_for()
    page.get_by_role("button", name="cancel").click()
    page.locator(".state.cancelled").wait_for()
    assert not page.get_by_role("button", name="cancel").count()
    page.get_by_role("button", name="submit again, changed").click()
    assert "\"iterations\": 500" in page.get_by_label("A job file, as").input_value()


def test_lists_compares_and_shows_texts_as_texts(server, page):
    evil = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>"]
    for i, name in enumerate(evil):
        server.submit({"job": align_job(iterations=1, seed=i), "metadata": {"name": name}})
    for job in server.get("/v1/jobs")[1]["data"]:
        server.until(job["id"], "succeeded", "failed")
    page.goto(server.url + "/")
    page.locator("tbody tr").nth(2).wait_for()
    for name in evil:
        assert page.get_by_role("link", name=name, exact=True).count() == 1
    boxes = page.get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(2).check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("cell", name="/seed").wait_for()
    page.locator("table.grid img").first.wait_for()
    assert page.locator("figure").count() > 3 and page.locator("table.grid th[scope=col]").count() == 3
    assert fits(page)


def test_a_key_is_asked_for_and_kept(make_server, tmp_path, page):
    (tmp_path / "keys").write_text(KEY + "\n")
    (tmp_path / "keys").chmod(0o600)
    server = make_server("--api-key-file", str(tmp_path / "keys"))
    server.key = KEY
    job = server.submit(sample_job())
    server.until(job["id"], "succeeded")
    page.goto(server.url + "/")
    page.get_by_label(re.compile("asks for a key")).fill(KEY)
    page.get_by_role("button", name="Use it").click()
    page.get_by_role("link", name=job["id"]).click()
    with page.expect_download() as kept:
        page.get_by_role("button", name=re.compile("result.json")).click()
    assert kept.value.suggested_filename == "result.json"
    assert KEY not in page.url


def test_a_form_makes_a_job(server, page):
    page.goto(server.url + "/#/submit")
    page.get_by_text("Fill it in as a form").click()
    form = page.locator("div.form")
    form.get_by_label("job", exact=True).select_option(label="sample")
    form.locator("[id='form/model/path']").fill("assets/models/tiny-sd3")
    form.locator("[id='form/model/path']").blur()
    form.locator("[id='form/prompts/texts']").fill("a red circle\na blue square")
    form.locator("[id='form/prompts/texts']").blur()
    form.locator("summary", has_text=re.compile("^sampler ")).click()
    form.locator("[id='form/sampler/name']").select_option(label="flow_ode")
    for name, value in (("steps", "x"), ("steps", "2"), ("height", "64"), ("width", "64")):
        field = form.locator(f"[id='form/sampler/{name}']")
        field.fill(value)
        field.blur()
        assert field.evaluate("f => f.validity.valid") == (value != "x")
    form.get_by_label("seed", exact=True).fill("3")
    form.get_by_label("seed", exact=True).blur()
    assert fits(page)
    job = json.loads(page.get_by_label("A job file, as").input_value())
    assert job["job"] == "sample" and job["prompts"]["texts"] == ["a red circle", "a blue square"] and job["seed"] == 3
    assert job["sampler"] == {"name": "flow_ode", "steps": 2, "height": 64, "width": 64}
    page.get_by_role("button", name="Submit").click()
    page.locator(".state.succeeded").wait_for()
    page.get_by_text("report.html").wait_for()


def test_a_form_shows_a_job_and_lists_grow_and_shrink(server, page):
    page.goto(server.url + "/#/submit")
    page.get_by_label("A job file, as").fill(json.dumps(align_job(iterations=7)))
    page.get_by_text("Fill it in as a form").click()
    assert page.locator("[id='form/iterations']").input_value() == "7"
    assert page.locator("[id='form/method/name']").evaluate("s => s.selectedOptions[0].text") == "awm"
    assert page.locator("[id='form/rewards/0/plugin']").input_value() == "scene"
    page.get_by_role("button", name="add to rewards").click()
    page.locator("[id='form/rewards/1/plugin']").fill("jpeg")
    page.locator("[id='form/rewards/1/plugin']").blur()
    read = lambda: json.loads(page.get_by_label("A job file, as").input_value())
    assert [r["plugin"] for r in read()["rewards"]] == ["scene", "jpeg"]
    page.get_by_role("button", name="remove", exact=True).first.click()
    assert [r["plugin"] for r in read()["rewards"]] == ["jpeg"] and read()["iterations"] == 7
    page.locator("[id='form/iterations']").fill("")
    page.locator("[id='form/iterations']").blur()
    assert "iterations" not in read()
    page.get_by_label("A job file, as").fill("{")
    page.get_by_label("A job file, as").blur()
    assert "no JSON" in page.get_by_role("alert").inner_text()
    assert fits(page)
