"use strict";
// Curves of runs: chart(title, [{name, points: [[step, value], ...]}]) is one as an SVG; charts(jobs) are those of {name, rows}.

const COLORS = ["#2a6fdb", "#d9622b", "#2f9e5b", "#8d4fc4", "#c0392b", "#0f8b8d", "#b7791f", "#6b7280"];

function svgElement(name, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Three to six round numbers that span low to high. */
function ticksBetween(low, high) {
  if (!(high > low)) return [low];
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) ticks.push(tick);
  return ticks;
}

function shown(value, span) {
  if (value === 0) return "0";
  const digits = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.abs(span) || 1))));
  return Math.abs(value) >= 1e5 || Math.abs(value) < 1e-4 ? value.toExponential(1) : String(Number(value.toFixed(digits)));
}

function chart(title, lines) {
  const width = 340, height = 190, left = 46, right = 8, top = 8, bottom = 22;
  const points = lines.flatMap((line) => line.points).filter(([, value]) => Number.isFinite(value));
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  caption.textContent = title;
  figure.append(caption);
  if (!points.length) return figure;
  const steps = points.map((p) => p[0]), values = points.map((p) => p[1]);
  const [x0, x1] = [Math.min(...steps), Math.max(...steps)];
  let [y0, y1] = [Math.min(...values), Math.max(...values)];
  if (y0 === y1) [y0, y1] = [y0 - Math.abs(y0 || 1) * 0.1, y1 + Math.abs(y1 || 1) * 0.1];
  const x = (step) => left + (width - left - right) * (x1 === x0 ? 0.5 : (step - x0) / (x1 - x0));
  const y = (value) => height - bottom - (height - top - bottom) * (value - y0) / (y1 - y0);
  const last = lines.map((l) => l.points.length ? `${l.name} ${shown(l.points.at(-1)[1], y1 - y0)}` : l.name).join(", ");
  const svg = svgElement("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}, latest: ${last}`});
  for (const tick of ticksBetween(y0, y1)) {
    svg.append(svgElement("line", {x1: left, x2: width - right, y1: y(tick), y2: y(tick), stroke: "currentColor", opacity: 0.15}));
    const label = svgElement("text", {x: left - 5, y: y(tick) + 4, "text-anchor": "end"});
    label.textContent = shown(tick, y1 - y0);
    svg.append(label);
  }
  for (const tick of ticksBetween(x0, x1).filter(Number.isInteger)) {
    const label = svgElement("text", {x: x(tick), y: height - 6, "text-anchor": "middle"});
    label.textContent = tick;
    svg.append(label);
  }
  const key = document.createElement("ul");
  key.className = "key";
  lines.forEach((line, i) => {
    const color = COLORS[i % COLORS.length], drawn = line.points.filter(([, value]) => Number.isFinite(value));
    svg.append(svgElement("polyline", {points: drawn.map((p) => `${x(p[0])},${y(p[1])}`).join(" "), fill: "none", stroke: color, "stroke-width": 1.8}));
    if (drawn.length < 40) for (const p of drawn) svg.append(svgElement("circle", {cx: x(p[0]), cy: y(p[1]), r: 2.2, fill: color}));
    const item = document.createElement("li"), mark = document.createElement("span");
    mark.style.background = color;
    item.append(mark, line.name);
    key.append(item);
  });
  figure.append(svg);
  if (lines.length > 1) figure.append(key);
  return figure;
}

const HIDDEN = /_stderr$|^time_|^memory_|^reward_corr_|^step$|^kind$/;
/** {name: [[step, value], ...]} of rows of a kind. */
function series(rows, kind) {
  const found = {};
  for (const data of rows)
    if (data.kind === kind)
      for (const [key, value] of Object.entries(data))
        if (typeof value === "number" && !HIDDEN.test(key)) (found[key] = found[key] || []).push([data.step, value]);
  return found;
}

/** Held-out and training rewards first, then what tells a run's health; the first six are seen at once. */
function charts(jobs) {
  const all = figures(jobs), rest = make("div.charts", ...all.slice(6));
  const more = make("details", make("summary", `${all.length - 6} more`), rest);
  more.open = charts.open;
  more.ontoggle = () => { charts.open = more.open; };
  return [make("div.charts", ...all.slice(0, 6)), ...(all.length > 6 ? [more] : [])];
}
charts.open = false;

function figures(jobs) {
  const figures = [], several = jobs.length > 1;
  const evals = jobs.map((j) => series(j.rows, "eval")), trains = jobs.map((j) => series(j.rows, "train"));
  const of = (all, key, suffix) => all.map((s, i) => ({name: several ? jobs[i].name : suffix, points: s[key] || []})).filter((l) => l.points.length);
  const held = [...new Set(evals.flatMap((s) => Object.keys(s)))].slice(0, 12);
  for (const key of held.slice(0, 5)) figures.push(chart("held out: " + key, of(evals, key, "held out")));
  for (const key of ["reward", "policy_loss", "grad_norm", "kl", "approx_kl", "clipfrac", "zero_std_ratio", "image_entropy", "edge_density"]) {
    const lines = of(trains, key, "training");
    if (lines.some((l) => l.points.some(([, value]) => value !== 0))) figures.push(chart("training: " + key, lines));
  }
  for (const key of held.slice(5)) figures.push(chart("held out: " + key, of(evals, key, "held out")));
  return figures;
}
