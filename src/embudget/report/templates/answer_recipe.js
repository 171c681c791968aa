// The recipe of one lineage, or why there is none: embudget.recipe.answer, .spending and .nearest.

const TIE_DRAWS = 0.1;
const WORTH = 0.001;

/** The recipe that the runs support, or else the guess that a pilot is laid out around; its first doubt says why. */
function ofOneLineage(data, q, budget) {
  try {
    return q.limits.force ? answerOf(data, q, budget, true) : nearOrGuess(data, q, budget);
  } catch (error) {
    if (!(error instanceof Refusal) || error.kind !== "InfeasibleError") throw error;
    throw new Refusal("InfeasibleError", `${error.message}; ${nearestFeasible(q, budget)}`);
  }
}

function nearOrGuess(data, q, budget) {
  const anySize = q.limits.anySize || q.one.anotherFamily !== null;
  const asked = { ...q, limits: { ...q.limits, force: true, anySize } };
  const near = answerOf(data, asked, budget, false);
  if (near.supported) return near;
  const guess = answerOf(data, { ...asked, pairs: q.limits.pairsAvailable }, budget, false);
  return guess.supported ? near : guess;
}

function answerOf(data, q, budget, far) {
  checkDistance(q, budget);
  const found = q.one.candidates.map((one) => optionOf(q, one, dueTo(q, one, budget)));
  let options = found.filter((one) => !("limit" in one)),
    broken = found.filter((one) => "limit" in one);
  if (!options.length) {
    throw new Refusal(
      "InfeasibleError",
      `no model and method is feasible at ${toldBudget(q, budget)}: ${counted(broken)}`,
    );
  }
  if (!far) [options, broken] = withoutFar(q, options, broken);
  const on = onPairs(q),
    draws = drawsOnPairs(on, options),
    count = options.length;
  const losses = [...meansOf(draws, count)].map(Math.exp);
  const order = losses.map((_, row) => row).sort((one, other) => losses[one] - losses[other] || one - other);
  const tied = tiesOf(draws, count, losses, order[0], q.law.noise);
  let flat = order.filter((row) => tied[row]).map((row) => options[row]),
    known = order.filter((row) => tied[row]).map((row) => losses[row]);
  const shorter = worthwhile(q, flat);
  if (shorter !== flat) [flat, known] = [shorter, [...logLossesOnPairs(on, shorter)].map(Math.exp)];
  const choices = choicesOf(data, q, flat, known),
    [place, chosen] = preferred(q, flat);
  const option = flat[place],
    [choice] = choices.splice(place, 1);
  const bare = (one) => one.predicted_loss / (1 + one.rate_cost);
  choices.sort((one, other) => bare(one) - bare(other));
  const worse = order
    .filter((row) => !tied[row])
    .map((row) =>
      rejected(options[row].candidate, worseBy(losses[row] * (1 + choice.rate_cost), losses[row] / losses[order[0]])),
    );
  const cell = nearestCell(q, option.candidate.method, option.candidate.modelParams, option.trainFlops);
  const how = { cell, ...learningRateOf(q, cell, option) },
    lowest = Math.min(choice.predicted_loss, ...choices.map((one) => one.predicted_loss));
  return {
    ...choice,
    ...leftOver(q, option, dueTo(q, option.candidate, budget)),
    asked: [q],
    budget,
    serve_flops: option.serveFlops,
    seconds: q.clock === null ? null : secondsOf(q.clock, q, option.candidate, option.trainFlops),
    measured_seconds: data.clock === null ? null : secondsOf(data.clock, q, option.candidate, option.trainFlops),
    memory: trainingBytes(q, option.candidate, option.batchSize),
    training_pairs: q.pairs,
    pairs: option.pairs,
    batch_size: option.batchSize,
    batch_source: batchAt(q.one, option.trainFlops).source,
    settings: cell.settings,
    learning_rate: how.rate,
    rate_source: how.source,
    chosen,
    supported: unsupported(q, option) === null,
    flat: choices,
    rejected: [...worse, ...broken.map((one) => rejected(one.candidate, one.reason)), ...q.one.withoutLaw],
    warnings: doubtsOf(q, option, choice.extrapolation, how),
    untrained: untrainedStart([q], budget, lowest),
  };
}

function checkDistance(q, budget) {
  if (extrapolationOf(q, budget) <= MAX_EXTRAPOLATION || q.limits.force || q.limits.serveTokens) return;
  const [low, high] = q.one.budgets.map((one) => general(one, 3));
  throw new Refusal(
    "BudgetError",
    `budget must be within ${general(MAX_EXTRAPOLATION)} times the measured ones ` +
      `(${low} to ${high} FLOP) unless forced, got ${general(budget, 3)}`,
  );
}

/** The limits that were broken, the one that most candidates break first. */
function counted(broken) {
  const counts = new Map();
  for (const { limit } of broken) counts.set(limit, (counts.get(limit) || 0) + 1);
  return [...counts]
    .sort((one, other) => other[1] - one[1])
    .map(([limit, count]) => `${limit} (${count} choice${count === 1 ? "" : "s"})`)
    .join("; ");
}

/** The options that their runs support, the others among the broken; all of them where none is supported. */
function withoutFar(q, options, broken) {
  const why = options.map((one) => unsupported(q, one));
  if (why.every((reason) => reason !== null)) return [options, broken];
  const left = options
    .map((one, place) => ({ candidate: one.candidate, reason: why[place] }))
    .filter((one) => one.reason !== null);
  return [options.filter((_, place) => why[place] === null), [...broken, ...left]];
}

/** Which choices cannot be told from the best: within the noise of a run of it, or better in a tenth of the draws. */
function tiesOf(draws, count, losses, best, noise) {
  const rows = draws.length / count;
  return losses.map((loss, place) => {
    if (loss / losses[best] - 1 <= noise) return true;
    let wins = 0;
    for (let row = 0; row < rows; row += 1) wins += draws[row * count + place] < draws[row * count + best] ? 1 : 0;
    return wins / rows >= TIE_DRAWS;
  });
}

/** By how much a choice is worse: its loss beside the chosen one's, and the ratio of the two at their best rates. */
function worseBy(loss, ratio) {
  return `predicted loss ${fixed(loss, 3)}, ${fixed(100 * (ratio - 1), 1)} % worse`;
}

function rejected(candidate, reason) {
  return { model: candidate.model, method: candidate.method, reason };
}

/** The options with their predicted losses, and what an uncertain rate costs added to them. */
function choicesOf(data, q, options, losses) {
  const intervals = intervalsOnPairs(onPairs(q), options);
  return options.map((option, place) => {
    const excess = rateExcess(q, option),
      { middle, law, run } = intervals[place];
    return {
      model: option.candidate.model,
      method: option.candidate.method,
      model_params: option.candidate.modelParams,
      train_flops: option.trainFlops,
      tokens: option.tokens,
      steps: option.steps,
      predicted_loss: losses[place] * Math.exp(excess),
      rate_cost: Math.expm1(excess),
      predicted_interval: withExcess(middle, run, excess, data.normal),
      loss_interval: withExcess(middle, law, excess, data.normal),
      extrapolation: extrapolationOf(q, option.trainFlops, option.candidate.method),
    };
  });
}

/** Which of the options that tie is taken, the lowest predicted loss first among them, and why in words. */
function preferred(q, flat) {
  const { prefer } = q.limits;
  if (prefer === "loss" || flat.length === 1) return [0, ""];
  let costs = flat.map((one) => one.candidate.modelParams),
    what = "the smallest";
  if (prefer === "fast") {
    const seconds = flat.map((one) => secondsByCells(q, one));
    [costs, what] = [seconds, "the fastest to train"];
    if (seconds.includes(null))
      [costs, what] = [flat.map((one) => one.tokens), "the one of the fewest tokens (not all runs were timed)"];
  }
  const best = costs.reduce((least, cost, place) => (cost < costs[least] ? place : least), 0);
  return [best, `as ${what} of ${flat.length} choices that are predicted as good`];
}

/** Training time at the speed of the method's nearest timed cell; null where none was timed. */
function secondsByCells(q, { candidate, trainFlops }) {
  const timed = q.one.cells.filter((cell) => cell.method === candidate.method && cell.seconds);
  const far = (cell) =>
    Math.log(cell.modelParams / candidate.modelParams) ** 2 + Math.log(cell.trainFlops / trainFlops) ** 2;
  if (!timed.length) return null;
  const nearest = timed.reduce((best, cell) => (far(cell) < far(best) ? cell : best));
  return (trainFlops * nearest.seconds) / nearest.trainFlops;
}

/** The options, those with fewer tokens whose last half of the tokens or more would gain next to nothing. */
function worthwhile(q, options) {
  const on = onPairs(q);
  if (on.unique === null || !options.some((one) => one.tokens > 2 * on.unique)) return options;
  const target = [...logLossesOnPairs(on, options)].map((log) => log + Math.log1p(WORTH));
  const low = options.map((one) => Math.log(Math.min(on.unique, one.tokens))),
    high = options.map((one) => Math.log(one.tokens));
  for (let round = 0; round < 12; round += 1) {
    const middle = low.map((value, place) => (value + high[place]) / 2);
    const logs = logLossesOnPairs(
      on,
      options.map((one, place) => ({ ...one, tokens: Math.exp(middle[place]) })),
    );
    middle.forEach((value, place) => {
      (logs[place] <= target[place] ? high : low)[place] = value;
    });
  }
  const found = options.map((option, place) => {
    const tokens = Math.exp(high[place]);
    if (tokens > option.tokens / 2) return option;
    const short = optionOf(q, option.candidate, option.serveFlops + tokens * option.candidate.flopsPerToken);
    return "limit" in short ? option : short;
  });
  return found.every((one, place) => one === options[place]) ? options : found;
}

/** The FLOP of a budget that an option does not spend, and why. */
function leftOver(q, option, budget) {
  const unspent = budget - option.serveFlops - option.trainFlops;
  if (unspent <= 0 || q.pairs === null) return { unspent_flops: 0, left_over: "" };
  const most = passesAllowed(q, option.candidate, budget - option.serveFlops),
    pairs = grouped(q.pairs),
    batch = option.batchSize;
  let why = `more than ${general(option.pairs / q.pairs, 3)} passes over the ${pairs} pairs would not help`;
  if (most !== null && option.pairs + batch > most * Math.floor(q.pairs / batch) * batch) {
    const allows = q.limits.maxEpochs ? "max_epochs allows" : "without max_epochs the measured runs allow";
    why = `${allows} no more than ${most} pass${most > 1 ? "es" : ""} over the ${pairs} pairs`;
  }
  return { unspent_flops: unspent, left_over: why };
}

/** The measured start whose loss before training is below all trained choices; null where training pays. */
function untrainedStart(asked, budget, trainedLoss) {
  const known = asked.flatMap((q) =>
    q.one.cells.filter(
      (cell) =>
        cell.baseLoss !== null &&
        cell.usable &&
        (q.limits.maxParams === null || cell.modelParams <= q.limits.maxParams) &&
        (!q.limits.serveTokens || 2 * cell.modelParams * q.limits.serveTokens <= budget),
    ),
  );
  const before = (one, other) =>
    (one.baseLoss || Infinity) - (other.baseLoss || Infinity) || one.modelParams - other.modelParams;
  const best = known.reduce((least, cell) => (least === null || before(cell, least) < 0 ? cell : least), null);
  if (best === null || best.baseLoss >= trainedLoss) return null;
  return { model: best.model, lineage: best.lineage, loss: best.baseLoss, trained_loss: trainedLoss };
}
