"use strict";
const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
};

// Charts: a hair line and the values at the nearest x.
for (const plot of document.querySelectorAll("[data-chart]")) {
  const data = JSON.parse(plot.dataset.chart), area = plot.firstElementChild;
  const hair = make("div", "hair"), tip = make("div", "tip");
  hair.hidden = tip.hidden = true;
  area.append(hair, tip);
  const xs = [...new Set(data.series.flatMap(s => s.p.map(p => p[0])))].sort((a, b) => a - b);
  const nearest = x => xs.reduce((best, v) => Math.abs(v - x) < Math.abs(best - x) ? v : best, xs[0]);
  const show = event => {
    const box = area.getBoundingClientRect();
    const x = nearest(data.low + (event.clientX - box.left) / box.width * (data.high - data.low));
    const at = (x - data.low) / (data.high - data.low);
    tip.replaceChildren(make("div", "", data.x + " " + +x.toPrecision(6)));
    for (const s of data.series) {
      const point = s.p.find(p => p[0] === x);
      if (!point) continue;
      const row = make("div", "c" + s.c);
      row.append(make("i"), make("span", "", s.name), make("b", "", point[2]));
      tip.append(row);
    }
    hair.hidden = tip.hidden = false;
    hair.style.left = at * 100 + "%";
    const left = at * box.width + (at > 0.5 ? -tip.offsetWidth - 10 : 10);
    tip.style.left = Math.max(0, Math.min(left, box.width - tip.offsetWidth)) + "px";
  };
  const hide = () => { hair.hidden = tip.hidden = true; };
  plot.addEventListener("pointermove", show);
  plot.addEventListener("pointerdown", show);
  plot.addEventListener("pointerleave", hide);
}

// Galleries: a dozen at first, in the order asked for.
const dozen = 12;
for (const gallery of document.querySelectorAll(".gallery")) {
  const list = gallery.querySelector(".pairs"), more = gallery.querySelector(".more"), sort = gallery.querySelector(".sort");
  let all = list.children.length <= dozen;
  const fold = () => {
    [...list.children].forEach((li, i) => { li.hidden = !all && i >= dozen; });
    more.hidden = all;
  };
  more.textContent = "Show all " + list.children.length;
  more.addEventListener("click", () => { all = true; fold(); });
  if (sort) {
    sort.hidden = false;
    sort.querySelector("select").addEventListener("change", event => {
      const sign = event.target.value === "up" ? -1 : 1;
      const rank = li => event.target.value === "i" ? +li.dataset.i : li.dataset.d === "" ? 1e300 : sign * li.dataset.d;
      list.append(...[...list.children].sort((a, b) => rank(a) - rank(b)));
      fold();
    });
  }
  fold();
}

// Clips: those that can be seen play, both of a pair in step. Who wants no motion gets it by a click.
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const inStep = (clips, playing) => {
  for (const clip of clips) {
    if (!playing) { clip.pause(); continue; }
    clip.currentTime = clips[0].currentTime;
    clip.play().catch(() => {});
  }
};
const follow = clips => clips[0] && clips[0].addEventListener("timeupdate", () => {
  for (const clip of clips.slice(1))
    if (Math.abs(clip.currentTime - clips[0].currentTime) > 0.08) clip.currentTime = clips[0].currentTime;
});
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) inStep([...entry.target.querySelectorAll("video")], entry.isIntersecting && !still);
});
for (const pair of document.querySelectorAll(".pair")) {
  const clips = [...pair.querySelectorAll("video")];
  if (!clips.length) continue;
  follow(clips);
  seen.observe(pair);
}

// Viewer: one pair, large, with a slider between before and after.
const viewer = document.querySelector(".viewer");
if (viewer && viewer.showModal) {
  const stage = viewer.querySelector(".stage"), slide = viewer.querySelector(".slide"), range = slide.querySelector("input");
  let card = null;
  const cut = () => stage.style.setProperty("--cut", range.value + "%");
  const open = next => {
    card = next;
    stage.replaceChildren(...[...card.querySelectorAll("img, video")].map(shot => shot.cloneNode()));
    const clips = [...stage.querySelectorAll("video")];
    for (const clip of clips) clip.muted = true;  // which cloning forgets
    follow(clips);
    inStep(clips, true);
    const shape = stage.firstElementChild;
    stage.style.width = shape ? `calc(64vh * ${shape.getAttribute("width") / shape.getAttribute("height")})` : "";
    const both = stage.children.length === 2;
    stage.classList.toggle("both", both);
    slide.hidden = !both;
    viewer.querySelector(".prompt").textContent = card.querySelector(".prompt").textContent;
    if (!viewer.open) viewer.showModal();
  };
  const go = by => {
    const cards = [...card.parentElement.children];
    open(cards[(cards.indexOf(card) + by + cards.length) % cards.length]);
  };
  range.addEventListener("input", cut);
  stage.addEventListener("pointermove", event => {
    const box = stage.getBoundingClientRect();
    if (event.pointerType !== "mouse" && !event.pressure) return;
    range.value = Math.round((event.clientX - box.left) / box.width * 100);
    cut();
  });
  viewer.addEventListener("click", event => {
    if (event.target === viewer || "close" in event.target.dataset) viewer.close();
    else if (event.target.dataset.go) go(+event.target.dataset.go);
  });
  viewer.addEventListener("close", () => stage.replaceChildren());  // clips would play on
  for (const button of document.querySelectorAll(".shots"))
    button.addEventListener("click", () => open(button.closest(".pair")));
}
