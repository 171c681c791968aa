// The form of the section: its fields and slider ask, the answer follows. State goes in and out by names of the fields.

const WISHES = ["max_params", "device_memory", "pairs_available", "max_epochs", "serve_tokens", "prefer"];
const FIELDS = ["amount", "unit", "device", "mfu", "dollars_per_hour", ...WISHES];
const STEPS = 1000; // of the slider
const PAUSE = 300; // milliseconds without a change after which is worked out what takes long

function mount(section, data) {
  const ready = preparedAnswer(data),
    form = section.querySelector("form"),
    fields = form.elements;
  const out = section.querySelector(".answer-out"),
    said = (name) => section.querySelector(`[data-said=${name}]`);
  const initial = Object.fromEntries(FIELDS.map((name) => [name, fields[name].value]));
  let unit = fields.unit.value,
    waiting = 0,
    pausing = 0;

  const numeric = (name) => (fields[name].value.trim() === "" ? null : fields[name].value.trim());
  const given = () => {
    const asked = { [fields.unit.value]: numeric("amount") };
    if (["gpu_hours", "dollars"].includes(fields.unit.value)) {
      Object.assign(asked, { device: fields.device.value, mfu: numeric("mfu") });
      if (fields.unit.value === "dollars") asked.dollars_per_hour = numeric("dollars_per_hour");
    }
    return asked;
  };
  const wishes = () =>
    Object.fromEntries(
      WISHES.map((name) => [name, numeric(name)]).filter(
        ([name, value]) => value !== null && !(name === "prefer" && value === "loss"),
      ),
    );
  const flops = () => {
    try {
      return flopsOf(ready, given()).flops;
    } catch {
      return null; // what is wrong is said by the answer
    }
  };
  /** What stands for one FLOP in the unit; null where the fields beside it cannot be read. */
  const perFlop = () => {
    try {
      return 1 / flopsOf(ready, { ...given(), [fields.unit.value]: 1 }).flops;
    } catch {
      return null;
    }
  };
  const [low, high] = data.span.map(Math.log10);
  const toSlider = () => {
    const now = flops();
    if (now !== null) fields.slider.value = Math.round(((Math.log10(now) - low) / (high - low)) * STEPS);
  };
  const setAmount = (amountInFlops, digits) => {
    const each = perFlop();
    if (each !== null) fields.amount.value = general(amountInFlops * each, digits).replace("e+", "e");
  };

  const answer = () => {
    waiting = 0;
    for (const one of form.querySelectorAll("[data-for]"))
      one.hidden = !one.dataset.for.split(" ").includes(fields.unit.value);
    clearTimeout(pausing);
    const open = out.querySelector(".answer-rejected")?.open,
      now = flops(),
      measured = ready.lineages.flatMap(({ one }) => one.budgets);
    const span = `measured from ${shownNumber(Math.min(...measured))} to ${shownNumber(Math.max(...measured))} FLOP`;
    said("span").textContent =
      now === null || fields.unit.value === "budget" ? span : `${shownNumber(now)} FLOP; ${span}`;
    const made = Object.keys(wishes()).length;
    said("wishes").textContent = made ? `: ${made} set` : ": none";
    fields.slider.setAttribute("aria-valuetext", `${fields.amount.value} ${fields.unit.selectedOptions[0].text}`);
    out.replaceChildren(...shownAnswer(ready, given(), wishes()));
    const pays = out.querySelector(".answer-pays"),
      rejected = out.querySelector(".answer-rejected");
    if (pays)
      pausing = setTimeout(() => {
        pays.textContent = `${paysText(recipeFor(ready, given(), wishes()))}.`;
      }, PAUSE);
    if (open && rejected) rejected.open = true;
    section.dispatchEvent(new CustomEvent("answerchange", { bubbles: true, detail: state() }));
  };
  const later = () => {
    waiting = waiting || requestAnimationFrame(answer);
  };

  /** The fields that differ from those of a new page, by name. */
  const state = () =>
    Object.fromEntries(
      FIELDS.map((name) => [name, fields[name].value]).filter(([name, value]) => value !== initial[name]),
    );
  const restore = (values) => {
    for (const name of FIELDS) fields[name].value = values[name] ?? initial[name];
    if (fields.unit.selectedIndex < 0) fields.unit.value = initial.unit;
    if (fields.device.selectedIndex < 0) fields.device.value = initial.device;
    if (fields.prefer.selectedIndex < 0) fields.prefer.value = initial.prefer;
    unit = fields.unit.value;
    toSlider();
    answer();
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    if (target.name === "slider") setAmount(10 ** (low + (fields.slider.value / STEPS) * (high - low)), 2);
    else if (target.name === "unit") {
      const chosen = fields.unit.value;
      fields.unit.value = unit;
      const before = flops();
      fields.unit.value = unit = chosen;
      if (before !== null) setAmount(before, 3);
    } else if (!WISHES.includes(target.name)) toSlider();
    later();
  });
  if (matchMedia("(min-width: 60rem)").matches) section.querySelector(".answer-wishes").open = true;
  toSlider();
  answer();
  return { state, restore };
}

window.embudgetAnswer = { prepared: preparedAnswer, recommend, recipeFor, paysFrom, Refusal, mount };
const here = document.getElementById("answer"),
  written = document.getElementById("answer-data");
if (here && written) Object.assign(window.embudgetAnswer, mount(here, JSON.parse(written.textContent)));
