// The loss over N, D and method: the forms of law, their draws, the correction near measured cells, and intervals.
// As embudget.laws.surface and embudget.laws.on_pairs compute them; `choices` are [{candidate, tokens}].
// Draws of m choices are one Float64Array, row by row: that of draw r and choice i is at [r * m + i].

const INFLATION = 1.1; // on the spread of the draws, as embudget.laws.uncertainty has it
const WIDTH = 2 * 1.6449; // of the middle 90 % of the normal distribution
const GROWTH = 0.5; // of the misfit for each factor e outside
const BEYOND_PASSES = 0.03; // relative error for each factor e of passes beyond the measured ones

/** Numbers packed as base64 of little-endian float64. */
function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 8 }, (_, place) => view.getFloat64(8 * place, true));
}

const FORMS = {
  tied: { exponents: 1, coefficients: 2, loss: (E, [a], [A, B], n, d) => E + A * Math.exp(-a * n) + B * Math.exp(-a * d) },
  chinchilla: {
    exponents: 2, coefficients: 2,
    loss: (E, [a, b], [A, B], n, d) => E + (A * Math.exp(-a * n) + B * Math.exp(-b * d)),
  },
  multiplicative: { exponents: 2, coefficients: 1, loss: (E, [a, b], [A], n, d) => E + A * Math.exp(-a * n - b * d) },
  rectified: {
    exponents: 3, coefficients: 2,
    loss: (E, [a, b, start], [A, B], n, d) => E + (A * Math.exp(-a * n) + B / (start ** b + Math.exp(b * d))),
  },
  dense_retrieval: {
    exponents: 2, coefficients: 2,
    loss: (E, [a, b], [A, B], n, d) => {
      const p = (Math.log(A) - a * n) / b, q = (Math.log(B) - b * d) / b;
      return E + Math.exp(b * (Math.max(p, q) + Math.log1p(Math.exp(-Math.abs(p - q)))));
    },
  },
  zero_shot: { exponents: 2, coefficients: 2, loss: (E, x, c, n, d, base) => fromZeroShot(E, x, c, n, d, base, () => 1) },
  zero_shot_level: { exponents: 2, coefficients: 2, loss: (E, x, c, n, d, base) => fromZeroShot(E, x, c, n, d, base, Math.abs) },
};

function fromZeroShot(E, [a, b], [A, slow], n, d, base, weight) {
  const floor = E + A * Math.exp(-a * n), way = Math.exp(base) - floor;
  return floor + way / (1 + (weight(way) * Math.exp(b * d)) / slow);
}

/** A law made ready: the draws unpacked, and the correction solved. */
function preparedLaw(law) {
  const components = law.components.map((part) => ({
    ...part,
    branches: part.branches.map((branch) => ({
      ...branch,
      vectors: unpacked(branch.vectors),
      moved: branch.moved === null ? null : unpacked(branch.moved),
    })),
  }));
  const few = components.map((part) => ({
    ...part,
    draws: Math.ceil(part.draws / 10),
    branches: part.branches.map((branch) => ({ ...branch, moved: null, vectors: thinned(branch.vectors, branch.width) })),
  }));
  const zero = law.zeroShot;
  const steps = (name) => (zero === null ? null : unpacked(zero[name]));
  const normals = unpacked(law.normals);
  const ready = { ...law, components, normals, steps: steps("steps"), correction: solved(law.correction) };
  return { ...ready, few: { ...ready, components: few, byGroups: false, steps: steps("fewSteps") } };
}

/** The fit and every tenth draw. */
function thinned(vectors, width) {
  const rows = [vectors.slice(0, width)];
  for (let at = width; at < vectors.length; at += 10 * width) rows.push(vectors.slice(at, at + width));
  return Float64Array.from(rows.flatMap((row) => [...row]));
}

/** Log losses of choices by the rows of vectors of each branch; `base(row, choice)` is the log zero-shot loss. */
function byVectors(law, part, vectorsOf, choices, base) {
  const form = FORMS[part.form], count = choices.length;
  const rows = vectorsOf(part.branches[0]).length / part.branches[0].width;
  const logs = new Float64Array(rows * count);
  for (const branch of part.branches) {
    const vectors = vectorsOf(branch), free = law.asymptote === null ? 1 : 0, first = free + form.exponents;
    const mine = choices.map((_, place) => place).filter((place) => choices[place].candidate.method in branch.basis);
    const columns = (branch.width - first) / form.coefficients;
    for (let row = 0; row < rows && mine.length; row += 1) {
      const values = vectors.subarray(row * branch.width, (row + 1) * branch.width).map(Math.exp);
      const E = free ? values[0] : law.asymptote, exponents = [...values.subarray(free, first)];
      const mixed = new Map();
      for (const place of mine) {
        const { candidate, tokens } = choices[place];
        if (!mixed.has(candidate.method)) mixed.set(candidate.method, mixtures(values, first, columns, form, branch.basis[candidate.method]));
        const n = Math.log(candidate.modelParams) - branch.centreN, d = Math.log(tokens) - branch.centreD;
        const loss = form.loss(E, exponents, mixed.get(candidate.method), n, d, base === null ? 0 : base(row, candidate));
        logs[row * count + place] = Math.log(loss);
      }
    }
  }
  return logs;
}

/** The coefficients of a method: those of the basis, mixed by its weights. */
function mixtures(values, first, columns, form, weights) {
  return Array.from({ length: form.coefficients }, (_, which) =>
    weights.reduce((sum, weight, column) => sum + weight * values[first + which * columns + column], 0));
}

/** Log losses by the fits, averaged (m), and by all draws (draws, m), corrected but not widened. */
function fittedAndDrawn(law, choices) {
  const count = choices.length, total = law.components.reduce((sum, part) => sum + part.draws, 0);
  const fitted = new Float64Array(count), draws = new Float64Array(total * count);
  let firstDraw = 0;
  for (const part of law.components) {
    const first = firstDraw;
    const base = law.steps === null ? null
      : (row, one) => one.zeroShot[0] + (row === 0 ? 0 : law.steps[first + row - 1]) * one.zeroShot[1];
    const logs = byVectors(law, part, (branch) => branch.vectors, choices, base);
    for (let place = 0; place < count; place += 1) fitted[place] += (part.draws / total) * logs[place];
    draws.set(logs.subarray(count), first * count);
    firstDraw += part.draws;
  }
  if (law.correction !== null) {
    const moves = choices.map((one) => correctionAt(law, one).mean);
    for (let at = 0; at < draws.length; at += 1) draws[at] += moves[at % count];
    for (let place = 0; place < count; place += 1) fitted[place] += moves[place];
  }
  return { fitted, draws };
}

/** Means over the draws of each of m choices. */
function meansOf(draws, count) {
  const sums = new Float64Array(count);
  for (let at = 0; at < draws.length; at += 1) sums[at % count] += draws[at];
  return sums.map((sum) => (sum * count) / draws.length);
}

/** The draws by which choices are compared: as wide as the 90 % intervals, with the error of the held-out groups. */
function comparedDraws(law, choices) {
  const count = choices.length, { draws } = fittedAndDrawn(law, choices), mean = meansOf(draws, count);
  for (let at = 0; at < draws.length; at += 1) draws[at] = mean[at % count] + law.widening * (draws[at] - mean[at % count]);
  if (!law.byGroups) return draws;
  const base = law.steps === null ? null : (row, one) => one.zeroShot[0];
  const moves = new Float64Array(draws.length);
  let first = 0;
  for (const part of law.components) {
    const logs = byVectors(law, part, (branch) => branch.moved, choices, base);
    for (let at = count; at < logs.length; at += 1) moves[first * count + at - count] = logs[at] - logs[at % count];
    first += part.draws;
  }
  const middle = meansOf(moves, count);
  return draws.map((log, at) => log + (moves[at] - middle[at % count]));
}

/** The residuals' Cholesky factor and weights, by which the correction is carried to other points. */
function solved(correction) {
  if (correction === null) return null;
  const one = { ...correction };
  for (const name of ["logN", "logD", "residuals", "variances"]) one[name] = unpacked(correction[name]);
  const count = one.kinds.length, factor = new Float64Array(count * count);
  for (let row = 0; row < count; row += 1) {
    const covariance = covariances(one, one.kinds[row], one.logN[row], one.logD[row]);
    for (let column = 0; column <= row; column += 1) {
      let sum = covariance[column] + (row === column ? one.variances[row] : 0);
      for (let k = 0; k < column; k += 1) sum -= factor[row * count + k] * factor[column * count + k];
      factor[row * count + column] = row === column ? Math.sqrt(sum) : sum / factor[column * count + column];
    }
  }
  const half = forward(factor, one.residuals), weights = new Float64Array(count);
  for (let row = count - 1; row >= 0; row -= 1) {
    let sum = half[row];
    for (let k = row + 1; k < count; k += 1) sum -= factor[k * count + row] * weights[k];
    weights[row] = sum / factor[row * count + row];
  }
  return { ...one, factor, weights };
}

/** L^-1 of a vector, L the lower triangle. */
function forward(factor, values) {
  const count = values.length, found = new Float64Array(count);
  for (let row = 0; row < count; row += 1) {
    let sum = values[row];
    for (let k = 0; k < row; k += 1) sum -= factor[row * count + k] * found[k];
    found[row] = sum / factor[row * count + row];
  }
  return found;
}

function covariances(one, kind, logN, logD) {
  return Float64Array.from(one.kinds, (other, place) => {
    const far = ((logN - one.logN[place]) / one.lengths[0]) ** 2 + ((logD - one.logD[place]) / one.lengths[1]) ** 2;
    return one.misfit ** 2 * (kind === other ? 1 : one.across) * Math.exp(-0.5 * far);
  });
}

/** What the correction is expected to be at a choice, and its covariances with the cells. */
function correctionAt(law, { candidate, tokens }) {
  const one = law.correction, own = law.kinds[candidate.method];
  const between = covariances(one, own, Math.log(candidate.modelParams), Math.log(tokens));
  return { mean: between.reduce((sum, value, place) => sum + value * one.weights[place], 0), between };
}

/** The variance that the correction leaves at a choice. */
function leftVariance(law, choice) {
  const explained = forward(law.correction.factor, correctionAt(law, choice).between).reduce((sum, value) => sum + value ** 2, 0);
  return Math.max(law.correction.misfit ** 2 - explained, 0);
}

function quantile(sorted, share) {
  const at = share * (sorted.length - 1), low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

/** How far a choice lies outside what was measured of its method, in natural logarithms; 0 inside. */
function distanceOf(law, { candidate, tokens }) {
  const reach = law.reach[candidate.method], n = Math.log(candidate.modelParams), d = Math.log(tokens);
  const outside = (log, span) => (span === null ? 0 : Math.max(0, log - Math.log(span[1]), Math.log(span[0]) - log));
  return Math.max(outside(n + d, reach.product), outside(n, reach.model_params) + outside(d, reach.tokens));
}

/** Middles and half widths of the log losses' intervals, with and without the noise of a run; `more` variance each. */
function intervalsOf(law, choices, more) {
  const count = choices.length, { fitted, draws } = fittedAndDrawn(law, choices), mean = meansOf(draws, count);
  return choices.map((choice, place) => {
    const column = Float64Array.from({ length: draws.length / count }, (_, row) => draws[row * count + place]).sort();
    const spread = (quantile(column, 0.95) - quantile(column, 0.05)) / WIDTH, far = distanceOf(law, choice);
    const own = law.correction === null ? law.misfit ** 2 : leftVariance(law, choice);
    const beyond = law.discrepancy ** 2 * far + (GROWTH * law.misfit * far) ** 2;
    const base = (INFLATION * spread) ** 2 + (mean[place] - fitted[place]) ** 2 + own + beyond + more[place];
    const ofRun = Math.max(law.noise ** 2 - law.misfit ** 2, 0);
    const half = (variance) => law.student * Math.sqrt(variance);
    return { middle: mean[place], law: half(base), run: half(base + ofRun) };
  });
}
