// For a wish that cannot be met: the nearest budget at which it could, as embudget.recipe.nearest seeks it.

const STEPS_PER_DECADE = 8;

function nearestFeasible(q, budget) {
  let distance = Infinity,
    total = null;
  const grid = budgetGrid(q);
  for (const candidate of q.one.candidates) {
    if (unsuitable(candidate, q.limits) !== null) continue;
    const own = dueTo(q, candidate, budget),
      found = nearestOf(q, own, candidate, grid, distance);
    if (found === null) continue;
    distance = Math.abs(Math.log10(found / own));
    total = (found * budget) / own;
  }
  if (total === null) return `no budget within ${general(MAX_EXTRAPOLATION)} times the measured ones meets this`;
  const [text, options] = roundedBudget(q, total),
    told = q.clock === null ? `${text} FLOP` : toldBudget(q, Number(text));
  const logs = meansOf(drawsOnPairs(onPairs(q), options), options.length);
  const best = logs.reduce((least, log, place) => (Math.exp(log) < Math.exp(logs[least]) ? place : least), 0);
  return `at ${told} it would hold: ${options[best].candidate.model} ${options[best].candidate.method}`;
}

/** The feasible budget of one candidate nearest to a budget, if less than `within` decades away. */
function nearestOf(q, budget, candidate, grid, within) {
  const serve = 2 * candidate.modelParams * q.limits.serveTokens;
  const fits = (flops) => !("limit" in optionOf(q, candidate, serve + flops));
  const decades = (flops) => Math.abs(Math.log10((serve + flops) / budget));
  const places = grid
    .map((_, place) => place)
    .sort((one, other) => decades(grid[one]) - decades(grid[other]) || one - other);
  for (const place of places) {
    const inside = grid[place];
    if (decades(inside) >= within + 1 / STEPS_PER_DECADE) return null;
    if (!fits(inside)) continue;
    const above = serve + inside > budget,
      wished = budget - serve;
    let outside = above ? grid[Math.max(0, place - 1)] : grid[Math.min(grid.length - 1, place + 1)];
    if (wished > 0 && wished > outside === above) outside = wished;
    const edge = edgeBetween(inside, outside, fits);
    return decades(edge) < within ? serve + edge : null;
  }
  return null;
}

function budgetGrid({ one }) {
  const low = one.budgets[0] / MAX_EXTRAPOLATION,
    high = one.budgets[1] * MAX_EXTRAPOLATION;
  const steps = Math.ceil(STEPS_PER_DECADE * Math.log10(high / low));
  return Array.from({ length: steps + 1 }, (_, step) => low * (high / low) ** (step / steps));
}

function edgeBetween(inside, outside, fits) {
  let [near, far] = [inside, outside];
  for (let round = 0; round < 12; round += 1) {
    const middle = Math.sqrt(near * far);
    if (fits(middle)) near = middle;
    else far = middle;
  }
  return near;
}

/** A feasible budget with as few digits as it takes, as text, and the options there. */
function roundedBudget(q, budget) {
  const there = (at) =>
    q.one.candidates.map((one) => optionOf(q, one, dueTo(q, one, at))).filter((one) => !("limit" in one));
  for (let digits = 1; digits < 15; digits += 1) {
    const unit = Number(`1e${Math.floor(Math.log10(budget)) - digits}`);
    for (const whole of [Math.floor(budget / unit), Math.ceil(budget / unit)]) {
      const text = general(whole * unit, digits + 1),
        options = there(Number(text));
      if (options.length) return [text, options];
    }
  }
  return [general(budget, 17), there(budget)];
}
