// The learning rate of a choice, and what its uncertainty costs: embudget.laws.rates and .recipe.hyperparameters.

const STEEP = 0.2; // the most that a wrong rate adds to the log loss

function rateLine(rates, { method, model }) {
  return (rates.members[method] || {})[model] || rates.lines[method];
}

function knowsRate({ rates }, { method }) {
  return rates !== null && method in rates.intercepts;
}

/** Standard error of the log of the best rate. */
function rateError(rates, candidate, tokens) {
  const { covariance, scatter } = rateLine(rates, candidate),
    [kk, kp, kq, pp, pq, qq] = covariance;
  const x = Math.log(candidate.modelParams) - rates.centre[0],
    z = Math.log(tokens) - rates.centre[1];
  const line = kk + 2 * (kp * x + kq * z) + pp * x ** 2 + 2 * pq * x * z + qq * z ** 2;
  return Math.sqrt(Math.max(line, 0) + scatter ** 2);
}

/** What the uncertainty of the best rate adds to the log loss, on average. */
function rateExcess({ one }, { candidate, tokens }) {
  if (!knowsRate(one, candidate)) return 0;
  const curvature = one.rates.curvatures[candidate.kind] || 0;
  return Math.min(curvature * rateError(one.rates, candidate, tokens) ** 2, STEEP);
}

/** The peak rate of a choice, with its source in words; `known` is false for a default. */
function learningRateOf({ one }, cell, { candidate, tokens }) {
  const { rates } = one;
  if (knowsRate(one, candidate)) {
    const { deviation, slopes } = rateLine(rates, candidate);
    const x = Math.log(candidate.modelParams) - rates.centre[0],
      z = Math.log(tokens) - rates.centre[1];
    const log = rates.intercepts[candidate.method] + deviation + slopes[0] * x + slopes[1] * z;
    const off = Math.exp(Math.min(rateError(rates, candidate, tokens), 99));
    const source = `by ${rates.text}; standard error a factor ${general(off, 2)}`;
    return { rate: Math.exp(Math.min(Math.max(log, -700), 700)), source, known: true };
  }
  if (cell.rate === null) {
    return { rate: candidate.defaultRate, source: `the default of ${candidate.method}`, known: false };
  }
  const end = cell.rateEnd === null ? "" : `, where it is ${cell.rateEnd}`;
  const where = `${cell.model} at ${general(cell.budget, 3)} FLOP${end}`;
  return { rate: cell.rate, source: `of the nearest measured cell, ${where}`, known: true };
}

/** An interval of the log loss at the best rate as that of the loss at an uncertain one, nats. */
function withExcess(middle, half, excess, normal) {
  const wide = Math.hypot(half, normal * Math.sqrt(2) * excess);
  return [Math.exp(middle + excess - wide), Math.exp(middle + excess + wide)];
}
