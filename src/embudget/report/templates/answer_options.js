// What a budget allows each candidate, or the first limit that it breaks: embudget.recipe.options and .clock.
// A question `q` is {one: data of a lineage, law, limits, pairs, clock, suite}.

const MAX_EXTRAPOLATION = 1e6;
const USABLE_SHARE = 0.9;
const CHUNK_TOKENS = 2048;
const LEAST_STEPS = 10;
const MAX_BATCH_SIZE = 1024;

/** Wishes by the names of `embudget.recommend`, checked; an absent or null one is not made. */
function limitsOf(wishes, most) {
  for (const name of ["max_params", "pairs_available", "max_epochs", "min_steps"]) {
    const rule = { least: 1, most: name === "max_epochs" ? most.epochs : most.count };
    if (wishes[name] == null) continue;
    const value = readNumber(wishes[name], name, rule);
    if (name !== "max_params" && !Number.isInteger(value)) {
      throw new Refusal("ConfigError", `${name} must be a whole number, got ${general(value)}`);
    }
  }
  if (wishes.serve_tokens != null) readNumber(wishes.serve_tokens, "serve_tokens", { above: 0, most: most.flops });
  const number = (name) => (wishes[name] == null ? null : Number(wishes[name]));
  return {
    maxParams: number("max_params"),
    pairsAvailable: number("pairs_available"),
    maxEpochs: number("max_epochs"),
    deviceBytes: wishes.device_memory == null ? null : readBytes(wishes.device_memory),
    serveTokens: number("serve_tokens") || 0,
    prefer: wishes.prefer || "loss",
    minSteps: number("min_steps"),
    anySize: Boolean(wishes.allow_unmeasured_sizes),
    force: Boolean(wishes.force),
  };
}

function questionOf(one, law, limits, clock, suite) {
  return { one, law, limits, clock, suite, pairs: limits.pairsAvailable || one.pairs };
}

/** What predicts losses on the question's pairs. */
function onPairs(q) {
  return { law: q.law, unique: q.pairs === null ? null : q.pairs * q.one.practice.tokensPerPair };
}

/** Pairs a step at a budget in FLOP, and where the number comes from. */
function batchAt({ batch }, flops) {
  if (!batch.named) return { size: batch.mean, source: "a default: the table of runs names none" };
  if (batch.low === batch.high) return { size: batch.low, source: "the only one measured: not known to be best here" };
  const same = batch.measured.find(([at]) => at === flops);
  if (same) return { size: same[1], source: "that of the runs measured at this budget" };
  if (batch.line === null)
    return { size: batch.mean, source: `the mean of those measured, ${batch.low} to ${batch.high}` };
  const { level_at_centre: level, slope, centre } = batch.line;
  const size = Math.min(Math.exp(level + slope * (Math.log(flops) - centre)), Math.max(MAX_BATCH_SIZE, batch.high));
  const whole = size >= 8 ? 8 * roundEven(size / 8) : Math.max(2, roundEven(size));
  return { size: whole, source: `by a power law through the study's, ${batch.low} to ${batch.high} measured` };
}

/** The measured cell of the method that is nearest in (log N, log C); of two as near, that of the smaller model. */
function nearestCell({ one }, method, modelParams, flops) {
  let best = null,
    least = null;
  for (const cell of one.cells) {
    if (cell.method !== method) continue;
    const square = Math.log(cell.modelParams / modelParams) ** 2 + Math.log(cell.budget / flops) ** 2;
    const key = [Number(square.toFixed(9)), cell.modelParams];
    if (best === null || key[0] < least[0] || (key[0] === least[0] && key[1] < least[1])) [best, least] = [cell, key];
  }
  return best;
}

/** Mean tokens of a pair with the length and the negatives of a choice. */
function tokensAPair(q, candidate, flops) {
  const practice = q.one.practice;
  if (practice.varied) {
    const cell = nearestCell(q, candidate.method, candidate.modelParams, flops);
    if (cell.pairsSeen) return cell.tokens / cell.pairsSeen;
  }
  return practice.tokensPerPair;
}

/** Seconds that an algorithmic FLOP of training a candidate takes at the speeds of the measured runs. */
function secondsPerFlop(clock, candidate, tokens) {
  const { passed, trained, factor } = candidate.speed,
    work = candidate.flopsPerToken * Math.ceil(tokens);
  const terms = [work, 1, Math.max(1, tokens / CHUNK_TOKENS) * passed, work / candidate.hidden, trained];
  const rule = terms.reduce((sum, term, place) => sum + term * clock.coefficients[place], 0);
  return (rule * factor) / (candidate.flopsPerToken * tokens);
}

function secondsOf(clock, q, candidate, flops) {
  const tokens = batchAt(q.one, flops).size * tokensAPair(q, candidate, flops);
  return flops * secondsPerFlop(clock, candidate, tokens);
}

/** The FLOP that a candidate gets for a budget: as many more than others as it is faster, where that is hours. */
function dueTo(q, candidate, budget) {
  if (q.clock === null || candidate.refusal !== null) return budget;
  const tokens = batchAt(q.one, budget).size * tokensAPair(q, candidate, budget);
  return budget / (q.clock.flopsPerSecond * secondsPerFlop(q.clock, candidate, tokens));
}

function toldBudget(q, budget) {
  if (q.clock === null) return `${general(budget, 3)} FLOP`;
  return `${general(budget / q.clock.flopsPerSecond / 3600, 3)} hours`;
}

function extrapolationOf({ one }, flops, method = null) {
  const [low, high] = method === null ? one.budgets : one.domain[method].budgets;
  return Math.max(1, flops / high, low / flops);
}

/** Bytes that training takes at its peak, with gradient caching, in bf16. */
function trainingBytes(q, candidate, batch) {
  return candidate.memory + 8 * ((2 + q.one.practice.negatives) * batch) * candidate.hidden + 16 * batch ** 2;
}

/** Passes over the pairs that are allowed; null: as many as help. */
function passesAllowed(q, candidate, flops) {
  const { maxEpochs, pairsAvailable } = q.limits;
  if (maxEpochs !== null || pairsAvailable === null) return maxEpochs;
  return nearestCell(q, candidate.method, candidate.modelParams, flops).settings.max_epochs;
}

/** Passes over so many pairs, of which each has whole batches. */
function passesOver(option, pairs) {
  const whole = pairs === null ? 0 : Math.floor(pairs / option.batchSize) * option.batchSize;
  return whole ? Math.ceil(option.pairs / whole) : 1;
}

/** The tokens after which a choice stops, since the pairs may be repeated no more often. */
function mostTokens(q, candidate, flops, batch) {
  const whole = Math.floor((q.pairs || 0) / batch) * batch;
  const passes = whole ? passesAllowed(q, candidate, flops) : null;
  return passes === null ? Infinity : passes * whole * tokensAPair(q, candidate, flops) * (1 - 1e-9);
}

/** What rules a candidate out at any budget, or null. */
function unsuitable(candidate, { maxParams }) {
  if (candidate.refusal !== null) {
    return { candidate, limit: `${candidate.method} cannot train the model`, reason: candidate.refusal };
  }
  if (maxParams === null || candidate.modelParams <= maxParams) return null;
  const most = general(maxParams, 3);
  const reason = `${general(candidate.modelParams, 3)} parameters, more than ${most}`;
  return { candidate, limit: `more than the ${most} parameters of max_params`, reason };
}

/** What a candidate does with a budget in FLOP; `limit` and `reason` are there where it breaks a limit. */
function optionOf(q, candidate, budget) {
  const serveFlops = 2 * candidate.modelParams * q.limits.serveTokens,
    broken = unsuitable(candidate, q.limits);
  if (broken !== null) return broken;
  let trainFlops = budget - serveFlops;
  if (trainFlops <= 0) {
    const served = `serving ${general(q.limits.serveTokens, 3)} tokens`;
    const reason = `${served} takes ${general(serveFlops, 3)} FLOP, which leaves none to train with`;
    return { candidate, limit: `${served} leaves nothing of the budget`, reason };
  }
  let tokens = trainFlops / candidate.flopsPerToken;
  const batchSize = batchAt(q.one, trainFlops).size,
    most = mostTokens(q, candidate, trainFlops, batchSize);
  if (most < tokens) [tokens, trainFlops] = [most, most * candidate.flopsPerToken];
  const steps = Math.ceil(tokens / (tokensAPair(q, candidate, trainFlops) * batchSize));
  const option = { candidate, trainFlops, serveFlops, tokens, batchSize, steps, pairs: steps * batchSize };
  return tooFar(q, option) || tooLarge(q, option) || tooFew(q, option) || option;
}

function tooFar(q, { candidate, trainFlops, steps, batchSize }) {
  const { method, modelParams } = candidate,
    { limits } = q,
    times = extrapolationOf(q, trainFlops, method);
  if (times > MAX_EXTRAPOLATION && !limits.force) {
    const reason = `the budget is ${general(times, 3)} times outside those measured of the method`;
    return { candidate, limit: `the budget is too far outside those measured of ${method}, unless forced`, reason };
  }
  const { model_params: sizes, budgets } = q.one.domain[method];
  const least = sizes[0] * Math.min(1, trainFlops / budgets[0]),
    most = sizes[1] * Math.max(1, trainFlops / budgets[1]);
  if (!limits.anySize && !(least <= modelParams && modelParams <= most)) {
    const span = `(at this budget ${general(least, 3)} to ${general(most, 3)})`;
    const reason = `${general(modelParams, 3)} parameters, too far outside the measured sizes ${span}`;
    return { candidate, limit: "too far outside the measured sizes, unless allow_unmeasured_sizes is set", reason };
  }
  const fewest = limits.minSteps === null ? leastSteps(q.one.practice, trainFlops) : limits.minSteps;
  if (steps >= fewest) return null;
  const reason = `${steps} steps of ${batchSize} pairs, fewer than ${fewest}`;
  return { candidate, limit: `fewer than ${fewest} steps, the least unless min_steps is set lower`, reason };
}

function leastSteps({ fewestSteps, smallestBudget }, flops) {
  return Math.max(Math.floor(fewestSteps * Math.min(1, flops / smallestBudget)), Math.min(LEAST_STEPS, fewestSteps));
}

function tooLarge(q, { candidate, batchSize }) {
  if (q.limits.deviceBytes === null) return null;
  const needed = trainingBytes(q, candidate, batchSize),
    usable = USABLE_SHARE * q.limits.deviceBytes;
  if (needed <= usable) return null;
  const limit = `${bytesText(usable)} that can be used of ${bytesText(q.limits.deviceBytes)}`;
  const reason = `needs about ${bytesText(needed)} of memory to train, more than the ${limit}`;
  return { candidate, limit: `more memory to train than the ${limit} of device_memory`, reason };
}

function tooFew(q, option) {
  if (q.pairs === null || q.pairs >= option.batchSize) return null;
  const reason = `needs ${option.pairs} pairs, there are ${q.pairs}, fewer than in a batch of ${option.batchSize}`;
  return { candidate: option.candidate, limit: `more pairs than the ${q.pairs} there are: build more`, reason };
}
