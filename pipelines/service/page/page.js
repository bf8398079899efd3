"use strict";
// The page: a view for each address behind the #. All that comes from jobs is set as text, never as markup.

const main = document.getElementById("main");
const OVER = ["succeeded", "failed", "cancelled"];
let leave = () => {};  // ends what the view before still does

const when = (seconds) => seconds ? new Date(seconds * 1000).toLocaleString() : "";
const name = (job) => job.metadata.name || job.id;
const state = (job) => make("span.state." + job.status, job.wish ? `${job.status}, asked to ${job.wish}` : job.status);
function notice(text, kind = "") { const p = make("p.notice" + kind, text); p.setAttribute("role", "alert"); return p; }

// --- the list

function row(job, chosen) {
  const box = make("input");
  box.type = "checkbox";
  box.checked = chosen.has(job.id);
  box.setAttribute("aria-label", "compare " + name(job));
  box.onchange = () => { box.checked ? chosen.add(job.id) : chosen.delete(job.id); document.getElementById("compare").disabled = chosen.size < 2; };
  const done = job.progress && job.progress.total ? `${job.progress.phase} ${job.progress.done}/${job.progress.total}` : job.queue_position !== null && job.status === "queued" ? `${job.queue_position} before it` : "";
  return make("tr", make("td", box), make("td", link(name(job), "#/job/" + job.id)), make("td", state(job)), make("td", done),
    make("td.wide", job.kind), make("td.wide", job.method), make("td.wide", job.model), make("td.wide", when(job.created_at)));
}

async function listView() {
  const body = make("tbody"), chosen = new Set(), more = make("p");
  const compare = button("Compare the chosen", () => { location.hash = "#/compare/" + [...chosen].slice(0, 4).join(","); });
  compare.id = "compare";
  compare.disabled = true;
  const head = make("tr", ...["", "job", "state", "progress", "kind", "method", "model", "submitted"].map((t, i) => { const th = make(i > 3 ? "th.wide" : "th", t); th.scope = "col"; return th; }));
  main.replaceChildren(make("h2", "Jobs"), make("div.actions", compare, link("Submit a job", "#/submit")),
    make("div.scroll", make("table", make("thead", head), body)), more);
  const draw = async () => {
    const list = await json("/v1/jobs?limit=100");
    body.replaceChildren(...list.data.map((job) => row(job, chosen)));
    more.textContent = !list.data.length ? "No jobs yet." : list.has_more ? "The newest 100 are shown." : "";
    connection.textContent = "";
  };
  await draw();
  const timer = setInterval(() => draw().catch(() => { connection.textContent = "no connection; trying again"; }), 2000);
  leave = () => clearInterval(timer);
}

// --- pictures and clips by prompt and step

const blobs = new Map();
async function media(file) {
  const element = make(file.type.startsWith("video") ? "video" : "img");
  if (element.tagName === "VIDEO") Object.assign(element, {muted: true, loop: true, autoplay: true, playsInline: true});
  if (!blobs.has(file.url)) blobs.set(file.url, ask(file.url).then((a) => a.blob()).then(URL.createObjectURL));
  element.src = await blobs.get(file.url);
  return element;
}

/** The prompts of a folder of samples; none where it does not say. */
async function promptsOf(file) {
  if (!file) return [];
  if (!blobs.has(file.url)) blobs.set(file.url, ask(file.url).then((a) => a.text()));
  return (await blobs.get(file.url)).split("\n").filter(Boolean).map((line) => JSON.parse(line).prompt);
}

/** [{step, files, prompts}] of samples/step-N, in order. */
async function samples(id) {
  const steps = new Map(), all = (await json(`/v1/jobs/${id}/files`)).data;
  for (const file of all) {
    const found = /^samples\/step-(\d+)\/\d+\.(png|mp4)$/.exec(file.path);
    if (!found) continue;
    if (!steps.has(+found[1])) steps.set(+found[1], []);
    steps.get(+found[1]).push(file);
  }
  const prompts = await promptsOf(all.find((f) => /^samples\/step-\d+\/metadata\.jsonl$/.test(f.path)));
  return [...steps].sort((a, b) => a[0] - b[0]).map(([step, files]) => ({step, files, prompts}));
}

/** Columns: {title, files}; a row a prompt. */
async function grid(columns, prompts) {
  const table = make("table.grid", make("caption", "The same prompt and noise in each row"));
  const head = make("tr", make("td"), ...columns.map((c) => { const th = make("th", c.title); th.scope = "col"; return th; }));
  table.append(make("thead", head));
  const body = make("tbody");
  for (let i = 0; i < Math.min(8, Math.max(0, ...columns.map((c) => c.files.length))); ++i) {
    const label = make("th", prompts[i] || `prompt ${i + 1}`);
    label.scope = "row";
    const cells = await Promise.all(columns.map(async (c) => {
      if (!c.files[i]) return make("td");
      const picture = await media(c.files[i]);
      picture.setAttribute(picture.tagName === "IMG" ? "alt" : "aria-label", `${prompts[i] || "prompt " + (i + 1)}, ${c.title}`);
      return make("td", picture);
    }));
    body.append(make("tr", label, ...cells));
  }
  table.append(body);
  return table;
}

/** The first, the last, and some between. */
function spread(list, most) {
  if (list.length <= most) return list;
  return Array.from({length: most}, (_, i) => list[Math.round(i * (list.length - 1) / (most - 1))]);
}

// --- one job

function facts(job) {
  const list = make("dl.facts");
  const add = (title, value) => { if (value !== null && value !== undefined && value !== "") list.append(make("div", make("dt", title), make("dd", value))); };
  add("state", state(job)); add("kind", job.kind); add("method", job.method); add("model", job.model); add("submitted", when(job.created_at));
  add("begun", when(job.started_at)); add("ended", when(job.finished_at)); add("done at about", when(job.estimated_finish));
  add("runs begun", job.attempts); add("priority", job.priority);
  for (const [key, value] of Object.entries(job.metadata)) add(key, value);
  return list;
}

function actions(job, again) {
  const act = (what) => button(what, async () => { try { await post(`/v1/jobs/${job.id}/${what}`); } catch (e) { main.prepend(notice(e.message)); } again(); });
  const bar = make("div.actions");
  if (!OVER.includes(job.status)) bar.append(job.status === "paused" ? act("resume") : act("pause"), act("cancel"));
  bar.append(button("submit again, changed", () => { sessionStorage.setItem("draft", JSON.stringify(job.job, null, 2)); location.hash = "#/submit"; }));
  return bar;
}

/** A file of a run: opened where no key is needed, else fetched with it and kept. */
function output(file) {
  const text = `${file.path} (${(file.bytes / 1e6).toFixed(1)} MB)`;
  if (!sessionStorage.getItem("key")) return link(text, file.url);
  return button(text, () => download(file));
}

async function download(file) {
  const address = URL.createObjectURL(await (await ask(file.url)).blob()), a = link("", address);
  a.download = file.path.split("/").pop();
  a.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

async function jobView(id) {
  const rows = [], events = make("ul.events"), top = make("div"), curves = make("div"), pictures = make("div.scroll"), files = make("ul"), log = make("pre");
  const bar = make("progress"), doing = make("p");
  bar.setAttribute("aria-label", "progress");
  let job = await json("/v1/jobs/" + id), due = 0;
  main.replaceChildren(top, doing, make("h3", "Curves"), curves, make("h3", "Samples"), pictures, make("h3", "Events"), events,
    make("h3", "Files"), files, make("h3", "Log"), log, make("h3", "The job"), make("pre", JSON.stringify(job.job, null, 2)));
  const show = async () => {
    job = await json("/v1/jobs/" + id);
    top.replaceChildren(make("h2", name(job)), facts(job), actions(job, show), ...(job.error ? [notice((job.error.param ? job.error.param + ": " : "") + job.error.message)] : []));
    if (job.status !== "running") doing.replaceChildren();
  };
  const showOutputs = async () => {
    const steps = spread(await samples(id), 6);
    if (steps.length) pictures.replaceChildren(await grid(steps.map((s) => ({title: s.step ? "step " + s.step : "before", files: s.files})), steps[0].prompts));
    const list = (await json(`/v1/jobs/${id}/files`)).data.filter((f) => /^(report\.html|result\.json|pytorch_lora_weights\.safetensors|model\/.*|job\.json)$/.test(f.path));
    const parts = list.filter((f) => f.path.startsWith("model/"));
    files.replaceChildren(...list.filter((f) => !parts.includes(f)).map((f) => make("li", output(f))));
    if (parts.length) files.append(make("li", make("details", make("summary", `model, ${parts.length} files`), make("ul", ...parts.map((f) => make("li", output(f)))))));
    log.textContent = await (await ask(`/v1/jobs/${id}/log`)).text();
  };
  const draw = () => { due = 0; curves.replaceChildren(...charts([{name: name(job), rows}])); };
  const soon = () => { due = due || setTimeout(draw, 300); };
  await show();
  showOutputs();
  const stop = follow(`/v1/jobs/${id}/events?stream=true`, (kind, event) => {
    if (kind === "progress") {
      bar.max = event.total || 1;
      bar.value = event.done;
      doing.replaceChildren(`${event.phase} ${event.done} of ${event.total}`, bar);
    } else if (kind === "done" || kind === "status") {
      show();
      showOutputs();
    } else if (kind === "metrics") {
      rows.push(event.data);
      soon();
      if (event.data.kind === "eval") showOutputs();
    }
    if (event && event.message && kind !== "metrics") events.prepend(make("li." + event.level, `${when(event.created_at)}  ${event.message}`));
    if (event && event.level === "warn" && kind !== "message") top.append(notice(event.message, ".warn"));
  });
  leave = () => { stop(); clearTimeout(due); };
}

// --- two to four jobs

/** {pointer: value} of all leaves. */
function leaves(value, place = "", found = {}) {
  if (value === null || typeof value !== "object") found[place] = JSON.stringify(value);
  else for (const [key, inner] of Object.entries(value)) leaves(inner, `${place}/${key}`, found);
  return found;
}

async function compareView(ids) {
  const jobs = await Promise.all(ids.split(",").slice(0, 4).map(async (id) => {
    const job = await json("/v1/jobs/" + id);
    return {...job, name: name(job), rows: (await json(`/v1/jobs/${id}/metrics`)).data, steps: await samples(id)};
  }));
  const all = jobs.map((j) => leaves(j.job)), keys = [...new Set(all.flatMap(Object.keys))].filter((k) => new Set(all.map((l) => l[k])).size > 1);
  const head = make("tr", make("th", "setting"), ...jobs.map((j) => make("th", link(j.name, "#/job/" + j.id))));
  const differences = make("table", make("thead", head), make("tbody", ...keys.map((k) => make("tr", make("td", k), ...all.map((l) => make("td.changed", l[k] === undefined ? "absent" : l[k]))))));
  main.replaceChildren(make("h2", "Compared"), make("h3", "What differs"), make("div.scroll", keys.length ? differences : "Nothing."),
    make("h3", "Curves"), ...charts(jobs), make("h3", "Samples"));
  const columns = [];
  if (jobs[0].steps.length) columns.push({title: "before", files: jobs[0].steps[0].files});
  for (const j of jobs) if (j.steps.length) columns.push({title: `${j.name}, step ${j.steps.at(-1).step}`, files: j.steps.at(-1).files});
  main.append(make("div.scroll", await grid(columns, (jobs.find((j) => j.steps.length) || {steps: [{prompts: []}]}).steps[0].prompts)));
}

// --- submit

function submitView() {
  const text = make("textarea"), said = make("div"), label = make("label", "A job file, as `thalweg run` takes it:"), file = make("input");
  text.id = "job-text";
  label.htmlFor = text.id;
  text.spellcheck = false;
  text.value = sessionStorage.getItem("draft") || "";
  file.type = "file";
  file.setAttribute("aria-label", "or a job file from disk");
  file.onchange = async () => { text.value = await file.files[0].text(); showForm(); };
  const form = make("details", make("summary", "Fill it in as a form")), place = make("div");
  form.append(place);
  const showForm = async () => {
    if (!form.open) return;
    try {
      const job = text.value.trim() ? JSON.parse(text.value) : {version: 1};
      place.replaceChildren(jobForm(await json("/v1/schema"), job, () => { text.value = JSON.stringify(job, null, 2); }));
    } catch (error) {
      place.replaceChildren(notice(error instanceof SyntaxError ? "The text is no JSON: " + error.message : error.message));
    }
  };
  form.ontoggle = showForm;
  text.onchange = showForm;
  const tried = async (path, then) => {
    sessionStorage.setItem("draft", text.value);
    try { then(await post(path, text.value)); } catch (e) { said.replaceChildren(notice(e.message)); }
  };
  main.replaceChildren(make("h2", "Submit a job"), label, text, make("p", file), form, make("div.actions",
    button("Check it", () => tried("/v1/validate", () => said.replaceChildren(make("p", "It is right.")))),
    button("What will it need?", () => tried("/v1/plan", (plan) => said.replaceChildren(make("pre", JSON.stringify(plan, null, 2))))),
    button("Submit", () => tried("/v1/jobs", (job) => { location.hash = "#/job/" + job.id; }))), said);
}

async function route() {
  leave();
  leave = () => {};
  const [view, rest] = location.hash.replace(/^#\//, "").split("/");
  try {
    await ({job: jobView, compare: compareView, submit: submitView}[view] || listView)(rest);
  } catch (error) {
    main.replaceChildren(notice(error.message));
  }
  main.focus({preventScroll: true});
}
addEventListener("hashchange", route);
route();
