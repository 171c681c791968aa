// What the reader of a recipe should mistrust: embudget.recipe.support and .warnings.

const MOST_TIMES = 16; // times outside the measured budgets up to which runs support a recipe
const MAX_TRUSTED = 4;
const REACH = 3;
const LADDERS = [
  [4000, 1000, 250],
  [1200, 300, 75],
  [250, 62.5, 15.625],
];
const MOST_STEPS = 2 ** 0.5 * 2 * 2000;

/** Why the runs do not support an option as a recipe, in words; null where they do. */
function unsupported(q, option) {
  const { method } = option.candidate,
    why = [],
    times = extrapolationOf(q, option.trainFlops, method);
  if (times > MOST_TIMES * (1 + 1e-6) && !isOfPilot(q, option)) {
    const [low, high] = q.one.domain[method].budgets.map((one) => general(one, 3));
    const measured = `the budgets that ${method} was measured at, ${low} to ${high}`;
    why.push(`${general(times, 3)} times outside ${measured} (${MOST_TIMES} at most)`);
  }
  if (q.one.anotherFamily !== null) why.push(q.one.anotherFamily);
  if (!why.length) return null;
  return `these runs do not support a recipe for ${general(option.trainFlops, 3)} FLOP: ${why.join(", and ")}`;
}

/** Whether the runs of the method are those of a pilot for this budget, or for a larger one, or one half as large. */
function isOfPilot(q, option) {
  const mine = q.one.cells.filter((cell) => cell.method === option.candidate.method);
  const parts = [...new Set(mine.map((cell) => option.trainFlops / cell.budget))].sort((one, other) => other - one);
  const tuned = mine.filter((cell) => cell.rates > 1).length;
  if (parts.length !== 3 || tuned < 2 || mine.some((cell) => cell.batchSize !== option.batchSize)) return false;
  const like = (ladder) => parts.every((part, place) => Math.abs(part - ladder[place]) <= 1e-8 + 1e-3 * ladder[place]);
  if (LADDERS.some(like)) return true;
  return (
    tuned <= mine.length / 2 &&
    LADDERS.some((ladder) => {
      const times = parts[2] / ladder[2];
      const suits = option.steps / times ** 0.5 <= MOST_STEPS || option.batchSize >= MAX_BATCH_SIZE;
      return suits && times <= 2 * (1 + 1e-6) && like(ladder.map((part) => part * times));
    })
  );
}

/** All that there is to mistrust in a choice and how it is trained, in the order of the recipe. */
function doubtsOf(q, option, extrapolation, how) {
  const { candidate } = option,
    { doubts, practice, rates } = q.one,
    found = [],
    why = unsupported(q, option);
  if (why !== null) found.push(why);
  found.push(...(doubts.unmeasured[candidate.base] || []));
  if (extrapolation > MAX_TRUSTED && (why === null || extrapolation <= MOST_TIMES)) {
    found.push(
      `the budget is ${general(extrapolation, 3)} times outside those that ${candidate.method} was measured at; ` +
        "the further out, the more often intervals miss",
    );
  }
  found.push(...candidate.unscored);
  if (option.steps < practice.fewestSteps) {
    found.push(
      `the run takes ${option.steps} steps, fewer than any measured one (${practice.fewestSteps}): so short a run ` +
        "may stay nearer to the untrained model than the laws say",
    );
  }
  found.push(...doubts.fit);
  if (knowsRate(q.one, candidate)) found.push(...farRate(rates.measured[candidate.method], candidate.method, how.rate));
  found.push(...otherRate(q, option, how.rate));
  found.push(...repeated(q, option, Math.ceil(how.cell.epochs || 1)));
  const unsaid = [
    ...(doubts.noBatch ? ["batch_size"] : []),
    ...(how.known ? [] : ["learning_rate"]),
    ...how.cell.settings.unsaid,
  ];
  if (unsaid.length) found.push(`the table of runs does not say ${unsaid.join(", ")}: defaults are taken`);
  if (doubts.noTokens) {
    found.push(
      `the table of runs does not say how many tokens a pair has: ${general(practice.tokensPerPair)} are assumed, on ` +
        "which pairs and steps depend",
    );
  }
  return found;
}

function howFar(times) {
  return `${general(Math.max(times, 1 / times), 2)} times ${times > 1 ? "above" : "below"}`;
}

function farRate([low, high], method, rate) {
  const times = Math.min(rate / low, 1) * Math.max(rate / high, 1);
  if (1 / REACH <= times && times <= REACH) return [];
  return [
    `the learning rate ${rateText(rate)} is ${howFar(times)} any best rate measured of ${method} ` +
      `(${rateText(low)} to ${rateText(high)}): compare three rates about it at a smaller budget before the run`,
  ];
}

function otherRate(q, { candidate, trainFlops }, rate) {
  const mine = q.one.cells.filter(
    (cell) => cell.model === candidate.model && cell.method === candidate.method && cell.rate !== null,
  );
  if (!mine.length) return [];
  const far = (cell) => Math.abs(Math.log(cell.trainFlops / trainFlops));
  const nearest = mine.reduce((best, cell) => (far(cell) < far(best) ? cell : best)),
    times = rate / nearest.rate;
  if (nearest.ratesCompared || (1 / REACH <= times && times <= REACH)) return [];
  return [
    `the learning rate ${rateText(rate)} is ${howFar(times)} the ${rateText(nearest.rate)} at which ` +
      `${candidate.model} was measured by ${candidate.method}, and the loss to expect is of runs at that one: try both`,
  ];
}

function repeated(q, option, allowed) {
  const { passes, fitted, text } = q.law.repetition,
    seen = passesOver(option, q.pairs);
  const measured = Math.max(allowed, Math.ceil(passes - 1e-6));
  if (seen <= measured) return [];
  return [
    `the pairs are seen up to ${seen} times, and in the measured runs at most ${measured}: how much they still ` +
      `teach is ${fitted ? "extrapolated" : "assumed"} (${text}), and they may be overfitted`,
  ];
}
