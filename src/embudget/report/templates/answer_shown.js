// The answer as elements of the page.

function shownSeconds(seconds) {
  if (seconds < 90) return `${shownNumber(seconds, 2)} seconds`;
  if (seconds < 5400) return `${shownNumber(seconds / 60, 2)} minutes`;
  return seconds < 48 * 3600 ? `${shownNumber(seconds / 3600)} hours` : `${shownNumber(seconds / 86400)} days`;
}

function interval([low, high]) {
  return `${fixed(low, 3)} to ${fixed(high, 3)}`;
}

/** A word as the shell takes it. */
function quoted(word) {
  return /^[\w.,:/+@=-]+$/.test(word) && !word.startsWith("-") ? word : `'${word.replace(/'/g, "'\\''")}'`;
}

const WHOLE = ["pairs_available", "max_epochs"]; // which the command line takes without an exponent

/** The options of `embudget recipe` that ask the same. */
function commandOf(ready, given, wishes, out) {
  const options = Object.entries({ ...given, ...(ready.suite === null ? {} : { suite: ready.suite }), ...wishes })
    .filter(([, value]) => value != null)
    .map(
      ([name, value]) =>
        `--${name.replace(/_/g, "-")} ${quoted(String(WHOLE.includes(name) ? BigInt(Number(value)) : value))}`,
    );
  return ["embudget recipe", quoted(ready.source), ...options, `--out ${out}`].join(" ");
}

function commandBlock(text) {
  const button = element("button", { type: "button", class: "answer-copy" }, "Copy"),
    code = element("code", {}, text);
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text, code)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2000);
  });
  return element("div", { class: "answer-command" }, element("pre", {}, code), button);
}

/** Copy text; where the browser refuses, select it for the reader. */
async function copied(text, code) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return false;
  }
}

function table(head, rows) {
  const cells = (tag, values) => values.map((value) => element(tag, tag === "th" ? { scope: "col" } : {}, value));
  return element(
    "div",
    { class: "answer-scroll" },
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...cells("th", head))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells("td", row)))),
    ),
  );
}

/** What a budget and wishes give: a recipe, the pilot where the runs support none, or a refusal. */
function shownAnswer(ready, given, wishes) {
  let recipe;
  try {
    recipe = recipeFor(ready, given, wishes);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [element("p", { class: "answer-refusal" }, error.message)];
  }
  return recipe.supported ? shownRecipe(ready, recipe, given, wishes) : shownPilot(ready, recipe, given, wishes);
}

function shownPilot(ready, guess, given, wishes) {
  return [
    element("p", { class: "answer-head" }, "Measure first: a pilot study"),
    element("p", {}, `${guess.warnings[0]}.`),
    element(
      "p",
      {},
      "A pilot of usually 5 or 6 % of the budget would support one. It is laid out around this guess: ",
      element("b", {}, guess.model),
      " by ",
      element("b", {}, guess.method),
      ` on ${shownNumber(guess.tokens)} tokens. ` +
        "The command plans it, and simulates what it is worth before you pay:",
    ),
    commandBlock(`${commandOf(ready, given, wishes, "pilot.yaml")}\nembudget sweep pilot.yaml --store pilot.db`),
  ];
}

function shownRecipe(ready, recipe, given, wishes) {
  const { untrained } = recipe,
    next =
      untrained === null
        ? "embudget train recipe.yaml --pairs DIR --out model/"
        : `embudget export ${quoted(untrained.model)} --to sentence-transformers --out model/`;
  const head = element(
    "p",
    { class: "answer-head" },
    "Train ",
    element("b", {}, recipe.model),
    " by ",
    element("b", {}, recipe.method),
  );
  const parts =
    untrained === null
      ? [head]
      : [
          element("p", { class: "answer-head" }, "Use ", element("b", {}, untrained.model), " as it is"),
          element(
            "p",
            {},
            `Training does not pay at this budget: its held-out loss is ${fixed(untrained.loss, 3)}, and the best ` +
              `trained choice, ${recipe.model} by ${recipe.method}, is expected at ` +
              `${fixed(untrained.trained_loss, 3)}; `,
            element("span", { class: "answer-pays" }),
          ),
        ];
  return [
    ...parts,
    ...(recipe.chosen ? [element("p", {}, `Chosen ${recipe.chosen}.`)] : []),
    factsOf(ready, recipe, given),
    commandBlock(`${commandOf(ready, given, wishes, "recipe.yaml")}\n${next}`),
    ...(recipe.warnings.length
      ? [
          element(
            "ul",
            { class: "answer-doubts", "aria-label": "What to doubt" },
            ...recipe.warnings.map((text) => element("li", {}, text)),
          ),
        ]
      : []),
    ...runnersUp(recipe),
    element(
      "details",
      { class: "answer-rejected" },
      element("summary", {}, `Why not the other ${recipe.rejected.length}`),
      table(
        ["Model", "Method", "Why not"],
        recipe.rejected.map((one) => [one.model || "every model", one.method, one.reason]),
      ),
    ),
  ];
}

function factsOf(ready, recipe, given) {
  const { settings } = recipe,
    passes = recipe.training_pairs === null ? 0 : recipe.pairs / recipe.training_pairs;
  const repeats = passes > 1 ? `, ${shownNumber(passes)} passes over ${grouped(recipe.training_pairs)}` : "";
  const start = (recipe.starts || []).find((one) => one.lineage === recipe.lineage);
  const cost = recipe.rate_cost >= 5e-4 ? `; ${fixed(100 * recipe.rate_cost, 1)} % of it for the uncertain rate` : "";
  const left = recipe.unspent_flops
    ? `; ${shownNumber(recipe.unspent_flops)} are left over, since ${recipe.left_over}`
    : "";
  const served = recipe.serve_flops ? `; ${shownNumber(recipe.serve_flops)} more are set aside to serve` : "";
  const facts = [
    [
      "Expected loss",
      `${fixed(recipe.predicted_loss, 3)} nats`,
      `90 % of new runs ${interval(recipe.predicted_interval)}, ` +
        `without a run's noise ${interval(recipe.loss_interval)}${cost}`,
    ],
    ["Data", `${shownNumber(recipe.tokens)} tokens`, `${grouped(recipe.pairs)} pairs${repeats}`],
    ["Batch", `${recipe.batch_size} pairs`, `${grouped(recipe.steps)} steps; ${recipe.batch_source}`],
    ["Learning rate", shownNumber(recipe.learning_rate), `${recipe.rate_source}; warm-up ${general(settings.warmup)}`],
    ["Time", ...timeOf(ready, recipe, given)],
    ["Memory", `about ${bytesText(recipe.memory)}`, "of the device that trains, with gradient caching in bf16"],
    [
      "Compute",
      `${shownNumber(recipe.train_flops)} FLOP`,
      `${
        recipe.extrapolation > 1
          ? `${shownNumber(recipe.extrapolation)} times outside the measured budgets of the method`
          : "within the measured budgets"
      }${left}${served}`,
    ],
  ];
  if (start) {
    facts.unshift([
      "Start",
      start.start === "retriever" ? "continue a retriever" : "fresh from a base model",
      `of ${recipe.lineage}`,
    ]);
  }
  return element(
    "dl",
    { class: "answer-facts" },
    ...facts.map(([name, value, more]) =>
      element(
        "div",
        {},
        element("dt", {}, name),
        element("dd", {}, element("b", {}, value), element("small", {}, more)),
      ),
    ),
  );
}

/** How long training takes, and by which speed. */
function timeOf(ready, recipe, given) {
  if (given.device != null) {
    const share = given.mfu == null ? ready.mfu : Number(given.mfu),
      { flops } = ready.devices[given.device];
    return [
      shownSeconds(recipe.train_flops / (flops * share)),
      `on one ${given.device} at ${general(100 * share, 3)} % of its peak`,
    ];
  }
  if (recipe.measured_seconds === null) return ["unknown", "no run of these laws was timed"];
  return [`about ${shownSeconds(recipe.measured_seconds)}`, "at the speeds of the measured runs"];
}

function runnersUp(recipe) {
  const parts = [],
    beside = (one) => (one.predicted_loss / (1 + one.rate_cost)) * (1 + recipe.rate_cost);
  if (recipe.flat.length) {
    const rows = recipe.flat.map((one) => [
      one.model,
      one.method,
      fixed(beside(one), 3),
      interval(one.predicted_interval),
      shownNumber(one.tokens),
    ]);
    parts.push(
      element("h3", {}, "As good, by what these runs can tell"),
      table(["Model", "Method", "Loss", "90 % of runs", "Tokens"], rows),
    );
  }
  if ((recipe.starts || []).length > 1) {
    const rows = recipe.starts.map((one) => [
      one.lineage,
      one.model,
      one.method,
      fixed(one.predicted_loss, 3),
      `${interval(one.predicted_interval)}${one.supported ? "" : ", not supported by its runs"}`,
    ]);
    parts.push(
      element("h3", {}, "The best of each start"),
      table(["Lineage", "Model", "Method", "Loss", "90 % of runs"], rows),
    );
  }
  return parts;
}
