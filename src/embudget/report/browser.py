"""What the browser needs besides plotly: the style sheet and the script. Neither fetches anything."""

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "worker-src blob:"
)
"""Content-Security-Policy: the browser itself refuses whatever would go to a network. Plotly compiles functions."""

CSS = """
:root { color-scheme: light; --ink: #1d2129; --soft: #5c6470; --paper: #ffffff; --panel: #f6f7f9; --line: #dde1e6;
  --accent: #ee3377; --bad: #b3261e; }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e4e6ea; --soft: #9aa3af; --paper: #14171c; --panel: #1c2027; --line: #313741;
    --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1.25rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: .3rem 0 1rem; max-width: 46rem; }
p.lead, figcaption { color: var(--soft); font-size: .9rem; }
p.answer { background: var(--panel); border-left: 4px solid var(--accent); padding: .9rem 1.1rem; font-size: 1.05rem;
  max-width: none; overflow-wrap: anywhere; }
p.warning { border-left: 4px solid var(--line); padding-left: 1rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .9rem 2rem;
  margin: 1.5rem 0; }
.facts dt { color: var(--soft); font-size: .8rem; }
.facts dd { margin: 0; font-size: .92rem; overflow-wrap: anywhere; }
.facts span, .answer b { display: inline-block; max-width: 100%; }
figure { margin: 0; min-width: 0; }
figure.narrow { max-width: 680px; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem 2rem; }
.plot { width: 100%; min-height: 300px; }
figcaption ul { margin: .2rem 0; padding-left: 1.1rem; }
.wide { overflow: auto; max-height: 36rem; margin: .6rem 0 1rem; }
thead th { position: sticky; top: 0; background: var(--paper); }
table { border-collapse: collapse; font-size: .86rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; }
td.long { white-space: normal; min-width: 18rem; overflow-wrap: anywhere; }
.recipe td { white-space: normal; overflow-wrap: anywhere; }
.recipe th, thead th { font-weight: 600; color: var(--soft); }
td.number { font-variant-numeric: tabular-nums; }
tr.failed td { color: var(--bad); }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
pre { background: var(--panel); padding: 1rem; overflow-x: auto;
  font: .8rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 560px) { main { padding: 1.25rem .9rem 3rem; } h1 { font-size: 1.4rem; }
  .facts { grid-template-columns: 1fr; gap: .6rem; } }
@media print { body { font-size: 11pt; } main { max-width: none; padding: 0; } figure, tr { break-inside: avoid; }
  .panels { grid-template-columns: 1fr; } .wide { overflow: visible; max-height: none; } table { font-size: 7.5pt; }
  th, td { padding-right: .5rem; white-space: normal; } td.long { min-width: 8rem; }
  pre { white-space: pre-wrap; } }
"""

SCRIPT = """
(() => {
  const ink = (dark) => (dark ? "#e4e6ea" : "#1d2129");
  const wantsDark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)").matches;
  const plots = [...document.querySelectorAll(".plot")];
  for (const plot of plots) {
    const { data, layout } = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font.color = ink(wantsDark.matches);
    if (coarse) layout.dragmode = false;  // a finger that scrolls the page must not zoom the figure
    Plotly.newPlot(plot, data, layout, { responsive: true, displaylogo: false,
      displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
  }
  const paint = (dark) => plots.forEach((plot) => Plotly.relayout(plot, { "font.color": ink(dark) }));
  wantsDark.addEventListener("change", (event) => paint(event.matches));
  addEventListener("beforeprint", () => { paint(false); plots.forEach((plot) => Plotly.Plots.resize(plot)); });
  addEventListener("afterprint", () => paint(wantsDark.matches));

  const value = (row, column) => {
    const cell = row.cells[column];
    return "key" in cell.dataset ? Number(cell.dataset.key) : cell.className === "number" ? null : cell.textContent;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!head) return;
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const body = table.tBodies[0];
      const compare = (a, b) => {
        const [x, y] = [value(a, head.cellIndex), value(b, head.cellIndex)];
        if (x === null || y === null) return (x === null) - (y === null);  // what is missing stays at the end
        return (x < y ? -1 : x > y ? 1 : 0) * (rising ? 1 : -1);
      };
      body.append(...[...body.rows].sort(compare));
    });
  }
})();
"""
