// The figures: drawn one after the other so that the first is there soon, and drawn again by what the reader has set.

const SIGNS = { circle: "●", square: "■", diamond: "◆", "triangle-up": "▲" };
const DARK = Object.fromEntries(METHODS.map((one) => [one.color, one.dark]));
const TWICE = 300; // milliseconds within which two clicks are a double one, as for Plotly
const narrow = matchMedia("(max-width: 560px)"); // there the buttons above the figures are legend enough
const drawings = []; // { place, original } of the figures that are there

/** A copy of a part of a figure in the colours of the theme; long lists of values are not copied. */
function repainted(part, colors) {
  if (typeof part === "string") return colors[part] || part;
  if (part === null || typeof part !== "object" || Array.isArray(part)) return part;
  return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, repainted(value, colors)]));
}

function figureNow({ data, layout }) {
  const colors = isDark() ? DARK : {};
  const ink = isDark() ? "#e4e6ea" : "#1d2129";
  const shown = repainted(layout, colors);
  shown.paper_bgcolor = shown.plot_bgcolor = "rgba(0,0,0,0)";
  shown.font.color = ink;
  if (matchMedia("(pointer: coarse)").matches) shown.dragmode = false; // a finger that scrolls must not zoom
  const traces = data.map((trace) => {
    const painted = repainted(trace, colors);
    if (!NAMES.includes(trace.legendgroup)) return painted;
    const visible = state.hidden.has(trace.legendgroup) ? "legendonly" : true;
    return { ...painted, visible, showlegend: Boolean(trace.showlegend) && !narrow.matches };
  });
  return [traces, shown];
}

function drawOne(place) {
  const original = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  Plotly.newPlot(place, ...figureNow(original), {
    responsive: true,
    displaylogo: false,
    displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  });
  drawings.push({ place, original });
  const named = (event) => event.data[event.curveNumber].legendgroup;
  let clicked = 0;
  place.on("plotly_legendclick", (event) => {
    if (!NAMES.includes(named(event))) return true;
    clearTimeout(clicked); // Plotly tells of both clicks before it tells that they were a double one
    clicked = setTimeout(toggleMethod, TWICE, named(event));
    return false;
  });
  place.on("plotly_legenddoubleclick", (event) => {
    clearTimeout(clicked);
    if (NAMES.includes(named(event))) onlyMethod(named(event));
    return false;
  });
}

function draw() {
  const waiting = [...document.querySelectorAll(".plot")];
  const next = () => {
    const place = waiting.shift();
    if (place) drawOne(place);
    if (waiting.length) setTimeout(next, 0);
    else document.documentElement.dataset.drawn = "all";
  };
  next();
}

function followFigures() {
  for (const panel of document.querySelectorAll("[data-method]"))
    panel.hidden = state.hidden.has(panel.dataset.method);
  for (const { place, original } of drawings) {
    Plotly.react(place, ...figureNow(original));
    if (place.offsetParent) Plotly.Plots.resize(place);
  }
}

function followButtons() {
  for (const { name, color, dark } of METHODS) {
    const shown = isDark() ? dark : color;
    for (const one of document.querySelectorAll("[data-mark]")) if (one.dataset.mark === name) one.style.color = shown;
    for (const one of document.querySelectorAll("[data-toggle]"))
      if (one.dataset.toggle === name) one.setAttribute("aria-pressed", String(!state.hidden.has(name)));
  }
}

function startFigures() {
  for (const box of document.querySelectorAll("[data-methods]")) {
    box.append(
      ...METHODS.map(({ name }) =>
        element(
          "button",
          { type: "button", "data-toggle": name },
          element("span", { class: "mark", "data-mark": name, "aria-hidden": "true" }),
          ` ${name}`,
        ),
      ),
    );
    box.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-toggle]");
      if (button) toggleMethod(button.dataset.toggle);
    });
  }
  for (const { name, symbol } of METHODS)
    for (const one of document.querySelectorAll("[data-mark]"))
      if (one.dataset.mark === name) one.textContent = SIGNS[symbol];
  READERS.push(followFigures, followButtons);
  followButtons();
  followFigures();
  const repaint = () => {
    followFigures();
    followButtons();
  };
  systemDark.addEventListener("change", repaint);
  narrow.addEventListener("change", repaint);
  addEventListener("beforeprint", () => {
    printing = true;
    repaint();
  });
  addEventListener("afterprint", () => {
    printing = false;
    repaint();
  });
}
