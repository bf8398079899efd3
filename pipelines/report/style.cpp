#include "pipelines/report/sections.h"

namespace thalweg::page {

const char* const kStyle = R"css(
:root {
  --page: #f3f6f5; --card: #ffffff; --ink: #10242c; --soft: #51656e; --line: #dbe3e3; --rule: #e6ecec;
  --accent: #0a7480; --was: #8b9aa1;
  --good: #1b7a3d; --good-bg: #e2f4e8; --bad: #b3261e; --bad-bg: #fce8e6; --flat: #51656e; --flat-bg: #e9eeef;
  --warn: #8a5a00; --warn-bg: #fdf1d8;
  --c0: #0a7480; --c1: #d2600f; --c2: #6741c9; --c3: #2c8a43; --c4: #c2306b; --c5: #2264c7; --c6: #8a7000; --c7: #59656b;
  --shadow: 0 1px 2px rgba(16, 36, 44, .06), 0 4px 16px rgba(16, 36, 44, .05);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0c1519; --card: #142127; --ink: #e4eef0; --soft: #9bb0b8; --line: #263840; --rule: #20313a;
    --accent: #45c4cf; --was: #7d929b;
    --good: #7ddc9b; --good-bg: #14351f; --bad: #ff9d94; --bad-bg: #42191a; --flat: #b3c3c9; --flat-bg: #24343b;
    --warn: #f2c462; --warn-bg: #3a2c0c;
    --c0: #45c4cf; --c1: #ff9f55; --c2: #b79bff; --c3: #7ddc9b; --c4: #ff8fb8; --c5: #86b8ff; --c6: #e8cf5c; --c7: #b3c3c9;
    --shadow: none;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; font-size: 16px; }
h1, h2, h3, p, ul, dl, dd, figure { margin: 0; padding: 0; }
ul { list-style: none; }
.wrap, main, footer { max-width: 1180px; margin: 0 auto; padding: 0 28px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
h2 { font-size: 1.3rem; letter-spacing: -.01em; margin: 44px 0 14px; }
h3 { font-size: 1rem; font-weight: 650; }
.note, .fine { color: var(--soft); font-size: .875rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 20px; box-shadow: var(--shadow); }
.card + .card { margin-top: 16px; }
.cards .card, .charts .card, .pairs .card { margin: 0; }
.chip { display: inline-block; font-size: .75rem; font-weight: 600; line-height: 1.3; padding: 3px 9px; border-radius: 99px;
  white-space: nowrap; letter-spacing: 0; }
.chip.good { color: var(--good); background: var(--good-bg); }
.chip.bad { color: var(--bad); background: var(--bad-bg); }
.chip.flat { color: var(--flat); background: var(--flat-bg); }

.hero { position: relative; overflow: hidden; color: #f2fafa; background: linear-gradient(160deg, #0b3a46, #06242d 75%); }
.hero .wrap { position: relative; padding-top: 22px; padding-bottom: 34px; }
.river { position: absolute; inset: 0; width: 100%; height: 100%; }
.river path { fill: none; stroke: #7fd3d8; stroke-opacity: .13; stroke-width: 1.5; }
.river .deep { stroke: #58d0d6; stroke-opacity: .26; stroke-width: 3; }
.brand { display: flex; align-items: center; gap: 9px; font-weight: 650; letter-spacing: .01em; }
.brand .chip { margin-left: auto; }
.mark { width: 24px; height: 24px; }
.mark path { fill: none; stroke: #9fdde1; stroke-width: 1.6; stroke-linecap: round; stroke-opacity: .7; }
.mark .deep { stroke: #5fe0e6; stroke-width: 2.6; stroke-opacity: 1; }
.two { display: grid; grid-template-columns: minmax(0, 1.25fr) minmax(0, 1fr); gap: 40px; align-items: center; margin-top: 26px; }
.two > :only-child { grid-column: 1 / -1; }
h1 { font-size: clamp(1.7rem, 4vw, 2.5rem); line-height: 1.15; letter-spacing: -.022em; font-weight: 700; text-wrap: balance; overflow-wrap: anywhere; }
.sub { margin-top: 10px; color: #c3dcdf; font-size: 1.05rem; max-width: 56ch; }
.facts { display: flex; flex-wrap: wrap; gap: 14px 30px; margin-top: 24px; }
.facts dt { font-size: .78rem; color: #9fc3c8; }
.facts dd { font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.lead { --soft: #b6d3d7; --card: #0d333e; --was: #a9c4c9; --accent: #5fe0e6; --line: #3d6570;
  background: rgba(3, 24, 31, .55); border: 1px solid rgba(160, 220, 225, .2); border-radius: 14px; padding: 20px 22px; }
.label { font-weight: 600; display: flex; flex-wrap: wrap; align-items: center; gap: 6px 10px; justify-content: space-between; overflow-wrap: anywhere; }
.numbers { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 14px; font-variant-numeric: tabular-nums; font-size: 1.5rem;
  font-weight: 600; letter-spacing: -.02em; line-height: 1.15; margin: 12px 0 4px; }
.numbers small { display: block; font-size: .75rem; font-weight: 500; letter-spacing: 0; color: var(--soft); }
.numbers .now { color: var(--accent); font-weight: 700; }
.arrow { color: var(--soft); font-weight: 400; }
.lead .numbers { font-size: clamp(2rem, 4.6vw, 2.9rem); gap: 18px; }
.track { position: relative; height: 26px; margin: 8px 0 6px; }
.track::before { content: ""; position: absolute; left: 0; right: 0; top: 12px; height: 2px; background: var(--line); border-radius: 2px; }
.track i { position: absolute; }
.track .way { top: 11px; height: 4px; background: var(--accent); opacity: .45; }
.track .span { top: 6px; height: 14px; background: var(--accent); opacity: .3; border-radius: 4px; min-width: 2px; }
.track .dot { top: 6px; width: 14px; height: 14px; margin-left: -7px; border-radius: 50%; border: 2.5px solid var(--was); background: var(--card); }
.track .to { border-color: var(--accent); background: var(--accent); }
.fine + .fine { margin-top: 3px; }
.fine b { color: var(--ink); font-variant-numeric: tabular-nums; }
.lead .fine b { color: #f2fafa; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 16px; }

.notes li { display: flex; gap: 12px; padding: 9px 0; align-items: baseline; }
.notes li + li { border-top: 1px solid var(--rule); }
.notes b { flex: 0 0 5.8em; text-align: center; font-size: .75rem; padding: 2px 0; border-radius: 99px; color: var(--flat); background: var(--flat-bg); }
.notes .warning b { color: var(--warn); background: var(--warn-bg); }
.notes .error b { color: var(--bad); background: var(--bad-bg); }
.notes .good b { color: var(--good); background: var(--good-bg); }
.findings strong { font-weight: 650; } .findings em, .findings i { font-style: normal; color: var(--soft); }
.findings em { font-size: .875rem; margin-left: 4px; }
.notes span { overflow-wrap: anywhere; white-space: pre-line; min-width: 0; }

.gallery + .gallery { margin-top: 34px; }
.bar { display: flex; flex-wrap: wrap; gap: 10px 24px; align-items: flex-end; justify-content: space-between; margin-bottom: 14px; }
.tools { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; }
.sort { font-size: .875rem; color: var(--soft); }
select, .row button, .more { font: inherit; font-size: .875rem; color: var(--ink); background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; padding: 6px 10px; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 260px), 1fr)); gap: 16px; }
.pairs.single { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.pair { padding: 10px; display: flex; flex-direction: column; gap: 8px; }
.shots { all: unset; cursor: zoom-in; display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 4px; border-radius: 6px; }
.shots:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.shot { position: relative; display: block; background: var(--rule); border-radius: 6px; overflow: hidden; }
.shot img { display: block; width: 100%; height: auto; }
.pixels { image-rendering: pixelated; }
.shot em { display: block; font-style: normal; font-size: .6875rem; font-weight: 600; line-height: 1.4; padding: 2px 7px;
  text-align: center; background: #2b454e; color: #e9f3f4; }
.shot em.now { background: #0a7480; color: #fff; }
.void { display: grid; place-items: center; min-height: 6em; color: var(--soft); font-size: .8rem; }
.prompt { font-size: .9rem; line-height: 1.4; padding: 0 4px; overflow-wrap: anywhere; }
.pair .prompt { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
.scores { display: flex; flex-wrap: wrap; gap: 4px 7px; align-items: center; margin-top: auto; padding: 0 4px 2px; font-size: .875rem; font-variant-numeric: tabular-nums; color: var(--soft); }
.scores b { color: var(--ink); }
.scores .chip { margin-left: 2px; }
.detail { margin-left: auto; font-size: .78rem; }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
.chart:first-child:nth-last-child(odd) { grid-column: 1 / -1; }
.chart figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 4px 18px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .8125rem; color: var(--soft); }
.legend i, .tip i { display: inline-block; width: 14px; height: 4px; border-radius: 2px; background: var(--c); vertical-align: middle; margin-right: 5px; }
.legend b, .tip b { color: var(--ink); font-variant-numeric: tabular-nums; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.unit { font-size: .75rem; color: var(--soft); margin-top: 8px; min-height: 1.2em; }
.unit.below { text-align: right; margin-top: 0; }
.plot { padding: 8px 10px 24px 52px; touch-action: pan-y; }
.area { position: relative; height: 210px; }
.area svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.area path { vector-effect: non-scaling-stroke; fill: none; }
.rule { stroke: var(--rule); stroke-width: 1; }
.line { stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dots { stroke: var(--c); stroke-width: 6; stroke-linecap: round; }
.area .band { fill: var(--c); opacity: .16; }
.ty, .tx { position: absolute; font-size: .75rem; color: var(--soft); font-variant-numeric: tabular-nums; line-height: 1; }
.ty { right: 100%; margin-right: 8px; transform: translateY(-50%); }
.tx { top: 100%; margin-top: 9px; transform: translateX(-50%); }
.hair { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--soft); opacity: .6; pointer-events: none; }
.tip { position: absolute; top: 2px; z-index: 2; pointer-events: none; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 6px 10px;
  font-size: .8125rem; line-height: 1.45; white-space: nowrap; box-shadow: 0 4px 18px rgba(0, 0, 0, .16); color: var(--soft); }
.tip div { display: flex; align-items: center; gap: 4px; }
.tip b { margin-left: auto; padding-left: 12px; }
.chart .note { margin-top: 6px; }

.scroll { overflow-x: auto; margin-top: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: 9px 14px; border-bottom: 1px solid var(--rule); vertical-align: top; }
th:first-child, td:first-child { padding-left: 2px; }
thead th { font-size: .78rem; font-weight: 600; color: var(--soft); border-bottom-color: var(--line); white-space: nowrap; }
tbody th { font-weight: 550; }
tbody tr:last-child > * { border-bottom: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.dim { color: var(--soft); }
.total { margin-bottom: 10px; color: var(--soft); }
.total b { color: var(--ink); font-size: 1.15rem; }
.times li { display: grid; grid-template-columns: minmax(6em, 11em) 1fr 7em 3.5em 5.5em; gap: 14px; align-items: center; padding: 5px 0; font-size: .9rem; }
.meter { height: 12px; background: var(--rule); border-radius: 4px; overflow: hidden; }
.meter i { display: block; height: 100%; background: var(--c0); border-radius: 4px; min-width: 2px; }
.times .name { overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; }
pre { margin: 0; font: .8125rem/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.k { color: var(--c2); } .v { color: var(--c0); }
footer { padding: 40px 28px 48px; color: var(--soft); font-size: .8125rem; }

.viewer { border: 1px solid var(--line); border-radius: 14px; padding: 16px; background: var(--card); color: var(--ink); width: min(94vw, 720px); }
.viewer::backdrop { background: rgba(4, 16, 20, .72); }
.stage { position: relative; max-width: 100%; margin: 0 auto; --cut: 50%; border-radius: 8px; overflow: hidden; }
.stage img { display: block; width: 100%; height: auto; }
.stage img + img { position: absolute; inset: 0; height: 100%; clip-path: inset(0 0 0 var(--cut)); }
.stage.both::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--cut); width: 2px; margin-left: -1px; background: #fff; box-shadow: 0 0 4px rgba(0, 0, 0, .6); }
.slide { display: flex; gap: 12px; align-items: center; margin: 12px 0; font-size: .8125rem; color: var(--soft); }
.slide input { flex: 1; accent-color: var(--accent); min-width: 0; }
.row { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 12px; }
.row button, .more { cursor: pointer; } .more { display: block; margin: 16px auto 0; padding: 8px 18px; } .row [data-close] { margin-left: auto; }
[hidden] { display: none !important; }

@media (max-width: 760px) {
  .wrap, main, footer { padding-left: 16px; padding-right: 16px; }
  .two { grid-template-columns: minmax(0, 1fr); gap: 24px; margin-top: 20px; }
  .hero .wrap { padding-bottom: 22px; }
  .facts { gap: 12px 24px; margin-top: 18px; }
  h2 { margin-top: 34px; }
  .card { padding: 14px; }
  .pair { padding: 8px; }
  th, td { padding-left: 8px; padding-right: 8px; }
  .pairs.single { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .plot { padding-left: 44px; padding-right: 6px; }
  .area { height: 180px; }
  .times li { grid-template-columns: 1fr auto auto; gap: 2px 12px; padding: 8px 0; }
  .times .meter { grid-column: 1 / -1; grid-row: 2; height: 8px; }
  .times .cpu { display: none; }
}
@media (prefers-reduced-motion: no-preference) { .chip, .card { transition: background-color .2s; } }
@media print {
  .hero { color: #000; background: none; } .river, .tools .sort { display: none; }
  .card { break-inside: avoid; box-shadow: none; }
}
)css";

}  // namespace thalweg::page
