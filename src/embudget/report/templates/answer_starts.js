// The recipe for a budget, by the laws of one lineage or the best of several: embudget.recipe.recommend and .starts.

/** The laws made ready, so that many questions share the work. */
function preparedAnswer(data) {
  const ready = (one) => ({
    ...one,
    cells: one.cells.map((cell) => ({ ...cell, settings: one.settings[cell.settings] })),
  });
  return { ...data, lineages: data.lineages.map((one) => ({ one: ready(one), law: preparedLaw(one.law) })) };
}

/** FLOP of a budget given by the names of `embudget.recommend`, and the clock where it is hours. */
function flopsOf(data, given) {
  const names = ["budget", "hours", "gpu_hours", "dollars"].filter((name) => given[name] != null);
  if (names.length !== 1) {
    throw new Refusal(
      "BudgetError",
      `give exactly one of budget, hours, gpu_hours and dollars, got ${names.join(" and ") || "none"}`,
    );
  }
  const positive = (value, field, more = {}) =>
    readNumber(value, field, { above: 0, most: data.most.flops, kind: "BudgetError", ...more });
  const budget = (value) => positive(value, "budget", { unit: "of FLOP such as 1e17" });
  if (given.budget != null) return { flops: budget(given.budget), clock: null };
  if (given.hours != null) {
    const hours = positive(given.hours, "hours", { most: data.most.flops / 1e10 });
    if (data.clock === null) {
      throw new Refusal(
        "ConfigError",
        "hours need runs that were timed on known models, and these laws hold none: give gpu_hours " +
          "with a device, or a budget in FLOP",
      );
    }
    return { flops: ((hours * 3600) / 3600) * 3600 * data.clock.flopsPerSecond, clock: data.clock };
  }
  const device = data.devices[given.device],
    mfu = given.mfu == null ? data.mfu : Number(given.mfu);
  const listed = Object.keys(data.devices).join(", ");
  if (given.device == null) throw new Refusal("BudgetError", `${names[0]} needs a device: one of ${listed}`);
  let hours = given.gpu_hours;
  if (hours == null) {
    if (!device) throw new Refusal("BudgetError", `device must be one of ${listed}, got '${given.device}'`);
    const price = given.dollars_per_hour == null ? device.dollars : given.dollars_per_hour;
    hours = positive(given.dollars, "dollars") / positive(price, "dollars_per_hour");
  }
  if (!(mfu > 0 && mfu <= 1)) throw new Refusal("BudgetError", `mfu must be in (0, 1], got ${general(mfu)}`);
  if (!device) throw new Refusal("BudgetError", `device must be one of ${listed}, got '${given.device}'`);
  return { flops: budget(positive(hours, "gpu_hours") * 3600 * device.flops * mfu), clock: null };
}

/** The recipe for a budget and wishes; where the runs support none, the guess, whose first warning says why. */
function recipeFor(ready, given, wishes = {}) {
  const { flops, clock } = flopsOf(ready, given),
    limits = limitsOf(wishes, ready.most);
  const asked = ready.lineages.map(({ one, law }) => questionOf(one, law, limits, clock, ready.suite));
  return ready.several ? bestStart(ready, asked, flops) : ofOneLineage(ready, asked[0], flops);
}

/** The recipe, or the refusal of `embudget.recommend`. */
function recommend(ready, given, wishes = {}) {
  const recipe = recipeFor(ready, given, wishes);
  if (recipe.supported || wishes.force) return recipe;
  throw new Refusal(
    "UnsupportedError",
    `${recipe.warnings[0]}; call embudget.pilot for the study that would, or set force=True for a far recipe`,
  );
}

/** The best recipe of all lineages. */
function bestStart(ready, asked, budget) {
  const { starts, refused } = answersOf(ready, asked, budget);
  const ordered = [...starts].sort((one, other) =>
    one.recipe.supported !== other.recipe.supported
      ? Number(other.recipe.supported) - Number(one.recipe.supported)
      : one.loss - other.loss,
  );
  const tied = ordered.map((one) => startsTie(ordered[0], one));
  let first = 0,
    why = "";
  if (asked[0].limits.prefer === "small") {
    ordered.forEach((one, place) => {
      if (tied[place] && one.recipe.model_params < ordered[first].recipe.model_params) first = place;
    });
    why = first ? `as the smallest of ${tied.filter(Boolean).length} lineages that are predicted as good` : "";
  }
  const chosen = ordered[first],
    { recipe } = chosen,
    flat = [...recipe.flat],
    worse = [];
  for (const one of ordered.filter((other) => other !== chosen)) {
    if (startsTie(chosen, one)) flat.push({ ...one.recipe, lineage: one.q.one.lineage });
    else worse.push(worseStart(chosen, one));
  }
  const noRuns = ready.unmeasured.map((name) => ({
    model: `members of ${name}`,
    method: "by any method",
    reason: "no run of their lineage was measured",
  }));
  const uneven = ready.uneven[starts.map((one) => one.place).join(",")];
  const lowest = Math.min(
    ...starts.flatMap((one) => [one.recipe, ...one.recipe.flat].map((choice) => choice.predicted_loss)),
  );
  return {
    ...recipe,
    asked,
    lineage: chosen.q.one.lineage,
    chosen: why || recipe.chosen,
    flat,
    rejected: [...worse, ...refused, ...noRuns, ...recipe.rejected],
    starts: starts.map(asStart).sort((one, other) => one.predicted_loss - other.predicted_loss),
    untrained: untrainedStart(asked, budget, lowest),
    warnings: [...recipe.warnings, ...(uneven ? [uneven] : [])],
  };
}

/** The recipe of each lineage, or why it has none. */
function answersOf(ready, asked, budget) {
  const starts = [],
    refused = [],
    errors = [];
  asked.forEach((q, place) => {
    try {
      const recipe = ofOneLineage(ready, q, budget);
      starts.push({ place, q, recipe, loss: recipe.predicted_loss / (1 + recipe.rate_cost) });
    } catch (error) {
      if (!(error instanceof Refusal) || !["InfeasibleError", "BudgetError"].includes(error.kind)) throw error;
      errors.push(error);
      refused.push({ model: `members of ${q.one.lineage}`, method: "by any method", reason: error.message });
    }
  });
  if (!starts.length) throw errors[0];
  return { starts, refused };
}

/** Whether another lineage's best choice cannot be told from the best one. */
function startsTie(best, other) {
  if (other === best) return true;
  if (other.recipe.supported !== best.recipe.supported) return false;
  if (other.loss / best.loss - 1 <= best.q.law.noise) return true;
  const [ofBest, ofOther] = [best, other].map(({ q, recipe }) => {
    const candidate = q.one.candidates.find((one) => one.model === recipe.model && one.method === recipe.method);
    return drawsOnPairs(onPairs(q), [{ candidate, tokens: recipe.tokens }]);
  });
  return ofOther.reduce((wins, log, row) => wins + (log < ofBest[row] ? 1 : 0), 0) / ofBest.length >= TIE_DRAWS;
}

function worseStart(chosen, { recipe, loss, q }) {
  const beside = worseBy(loss * (1 + chosen.recipe.rate_cost), loss / chosen.loss);
  const far = recipe.supported ? "" : "; its runs do not support it";
  return { model: recipe.model, method: recipe.method, reason: `${beside}${far}; the best of ${q.one.lineage}` };
}

function asStart({ q, recipe }) {
  const start = q.one.retrievers ? "retriever" : q.one.candidates.find((one) => one.model === recipe.model).start;
  const { model, method, predicted_loss, predicted_interval, supported } = recipe;
  return { lineage: q.one.lineage, start, model, method, predicted_loss, predicted_interval, supported };
}
