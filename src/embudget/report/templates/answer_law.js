// The loss over N, D and method: the forms of law, their draws, and intervals.
// As embudget.laws.surface and embudget.laws.on_pairs compute them; `choices` are [{candidate, tokens}].
// Draws of m choices are one Float64Array, row by row: that of draw r and choice i is at [r * m + i].

const INFLATION = 1.1; // on the spread of the draws, as embudget.laws.uncertainty has it
const WIDTH = 2 * 1.6449; // of the middle 90 % of the normal distribution
const GROWTH = 0.5; // of the misfit for each factor e outside
const INSIDE = 1e-9; // distance that is none but for rounding
const BEYOND_PASSES = 0.03; // relative error for each factor e of passes beyond the measured ones

/** Numbers packed as base64 of little-endian float64. */
function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 8 }, (_, place) => view.getFloat64(8 * place, true));
}

/** The equations: exponents in `v` from place `x` on, A and B a method's coefficients, n and d log N and log D. */
const FORMS = {
  tied: {
    exponents: 1,
    coefficients: 2,
    loss: (E, v, x, A, B, n, d) => E + (A * Math.exp(-v[x] * n) + B * Math.exp(-v[x] * d)),
  },
  chinchilla: {
    exponents: 2,
    coefficients: 2,
    loss: (E, v, x, A, B, n, d) => E + (A * Math.exp(-v[x] * n) + B * Math.exp(-v[x + 1] * d)),
  },
  multiplicative: {
    exponents: 2,
    coefficients: 1,
    loss: (E, v, x, A, B, n, d) => E + A * Math.exp(-v[x] * n - v[x + 1] * d),
  },
  rectified: {
    exponents: 3,
    coefficients: 2,
    loss: (E, v, x, A, B, n, d) => E + (A * Math.exp(-v[x] * n) + B / (v[x + 2] ** v[x + 1] + Math.exp(v[x + 1] * d))),
  },
  dense_retrieval: {
    exponents: 2,
    coefficients: 2,
    loss: (E, v, x, A, B, n, d) => {
      const b = v[x + 1],
        p = (Math.log(A) - v[x] * n) / b,
        q = (Math.log(B) - b * d) / b;
      return E + Math.exp(b * (Math.max(p, q) + Math.log1p(Math.exp(-Math.abs(p - q)))));
    },
  },
  zero_shot: {
    exponents: 2,
    coefficients: 2,
    loss: (E, v, x, A, B, n, d, base) => {
      const floor = E + A * Math.exp(-v[x] * n);
      return floor + (Math.exp(base) - floor) / (1 + Math.exp(v[x + 1] * d) / B);
    },
  },
  zero_shot_level: {
    exponents: 2,
    coefficients: 2,
    loss: (E, v, x, A, B, n, d, base) => {
      const floor = E + A * Math.exp(-v[x] * n),
        way = Math.exp(base) - floor;
      return floor + way / (1 + (Math.abs(way) * Math.exp(v[x + 1] * d)) / B);
    },
  },
};

/** A law made ready: parameters of the draws out of their logarithms, and the correction solved. */
function preparedLaw(law) {
  const drawn = (text, width, every = 1) => {
    const rows = [],
      all = unpacked(text);
    for (let row = 0; row * width < all.length; row += 1) {
      if (row === 0 || (row - 1) % every === 0) rows.push(all.subarray(row * width, (row + 1) * width));
    }
    const values = new Float64Array(rows.length * width);
    rows.forEach((row, place) => values.set(row.map(Math.exp), place * width));
    return { values, rows: rows.length, mixed: new Map() };
  };
  const parts = (every) =>
    law.components.map((part) => ({
      form: FORMS[part.form],
      draws: Math.ceil(part.draws / every),
      branches: part.branches.map((branch) => ({
        ...branch,
        vectors: drawn(branch.vectors, branch.width, every),
        moved: branch.moved === null ? null : drawn(branch.moved, branch.width),
      })),
    }));
  const steps = (name) => (law.zeroShot === null ? null : unpacked(law.zeroShot[name]));
  const ready = { ...law, normals: unpacked(law.normals), correction: solved(law) };
  const few = { ...ready, components: parts(10), byGroups: false, steps: steps("fewSteps") };
  return { ...ready, components: parts(1), steps: steps("steps"), few };
}

/** The coefficients of a method by every row: those of the basis, mixed by its weights. */
function mixtures(drawn, branch, form, first, method) {
  if (!drawn.mixed.has(method)) {
    const weights = branch.basis[method],
      found = [new Float64Array(drawn.rows), new Float64Array(drawn.rows)];
    for (let which = 0; which < form.coefficients; which += 1) {
      for (let row = 0; row < drawn.rows; row += 1) {
        const start = row * branch.width + first + which * weights.length;
        for (let column = 0; column < weights.length; column += 1) {
          found[which][row] += weights[column] * drawn.values[start + column];
        }
      }
    }
    drawn.mixed.set(method, found);
  }
  return drawn.mixed.get(method);
}

/** Log losses (rows, m) by the rows of `which` vectors; `base(row, candidate)` is the log zero-shot loss. */
function byVectors(law, part, which, choices, base) {
  const count = choices.length,
    { form } = part,
    free = law.asymptote === null ? 1 : 0,
    first = free + form.exponents;
  const logs = new Float64Array(part.branches[0][which].rows * count);
  choices.forEach(({ candidate, tokens }, place) => {
    const branch = part.branches.find((one) => candidate.method in one.basis),
      drawn = branch[which];
    const [A, B] = mixtures(drawn, branch, form, first, candidate.method);
    const n = Math.log(candidate.modelParams) - branch.centreN,
      d = Math.log(tokens) - branch.centreD;
    for (let row = 0; row < drawn.rows; row += 1) {
      const start = row * branch.width,
        E = free ? drawn.values[start] : law.asymptote;
      const begin = base === null ? 0 : base(row, candidate);
      logs[row * count + place] = Math.log(form.loss(E, drawn.values, start + free, A[row], B[row], n, d, begin));
    }
  });
  return logs;
}

/** Log losses by the fits, averaged (m), and by all draws (draws, m), neither corrected nor widened. */
function uncorrected(law, choices) {
  const count = choices.length,
    total = law.components.reduce((sum, part) => sum + part.draws, 0);
  const fitted = new Float64Array(count),
    draws = new Float64Array(total * count);
  let done = 0;
  for (const part of law.components) {
    const first = done - 1;
    const base =
      law.steps === null
        ? null
        : (row, { zeroShot: [mean, sd] }) => mean + (row === 0 ? 0 : law.steps[first + row]) * sd;
    const logs = byVectors(law, part, "vectors", choices, base);
    for (let place = 0; place < count; place += 1) fitted[place] += (part.draws / total) * logs[place];
    draws.set(logs.subarray(count), done * count);
    done += part.draws;
  }
  return { fitted, draws };
}

/** The same, corrected. */
function fittedAndDrawn(law, choices) {
  const count = choices.length,
    { fitted, draws } = uncorrected(law, choices);
  if (law.correction !== null) {
    const moves = Float64Array.from(choices, (one) => correctionAt(law, one));
    for (let place = 0; place < count; place += 1) fitted[place] += moves[place];
    eachDraw(draws, count, (at, place) => {
      draws[at] += moves[place];
    });
  }
  return { fitted, draws };
}

function eachDraw(draws, count, change) {
  for (let start = 0; start < draws.length; start += count) {
    for (let place = 0; place < count; place += 1) change(start + place, place);
  }
}

/** Means over the draws of each of m choices. */
function meansOf(draws, count) {
  const sums = new Float64Array(count);
  eachDraw(draws, count, (at, place) => {
    sums[place] += draws[at];
  });
  return sums.map((sum) => (sum * count) / draws.length);
}

/** The draws by which choices are compared: as wide as the 90 % intervals, with the error of the held-out groups. */
function comparedDraws(law, choices) {
  const count = choices.length,
    { draws } = fittedAndDrawn(law, choices),
    mean = meansOf(draws, count);
  eachDraw(draws, count, (at, place) => {
    draws[at] = mean[place] + law.widening * (draws[at] - mean[place]);
  });
  if (!law.byGroups) return draws;
  const base = law.steps === null ? null : (row, one) => one.zeroShot[0],
    moves = new Float64Array(draws.length);
  let done = 0;
  for (const part of law.components) {
    const logs = byVectors(law, part, "moved", choices, base);
    for (let at = count; at < logs.length; at += 1) moves[(done - 1) * count + at] = logs[at] - logs[at % count];
    done += part.draws;
  }
  const middle = meansOf(moves, count);
  eachDraw(draws, count, (at, place) => {
    draws[at] += moves[at] - middle[place];
  });
  return draws;
}

function quantile(sorted, share) {
  const at = share * (sorted.length - 1),
    low = Math.floor(at);
  return sorted[low] + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}

/** How far a choice lies outside what was measured of its method, in natural logarithms, and where it leaves that. */
function reachOf(law, choice) {
  const { candidate, tokens } = choice,
    reach = law.reach[candidate.method],
    n = Math.log(candidate.modelParams),
    d = Math.log(tokens);
  const outside = (log, span) => log - Math.min(Math.max(log, Math.log(span[0])), Math.log(span[1]));
  const ofSize = outside(n, reach.model_params),
    ofTokens = outside(d, reach.tokens);
  const far = Math.max(Math.abs(outside(n + d, reach.product)), Math.abs(ofSize) + Math.abs(ofTokens));
  const left = outside(n - ofSize + d - ofTokens, reach.product);
  const nearest = ofSize ? { modelParams: Math.exp(n - ofSize), zeroShot: reach.zero_shot?.[ofSize > 0 ? 1 : 0] } : {};
  const edge = { candidate: { ...candidate, ...nearest }, tokens: Math.exp(d - ofTokens - left) };
  return { far, ofSize: Math.abs(ofSize), edge };
}

/** The variance that lying outside adds to a log loss whose prediction is `mean`. */
function beyondOf(law, choice, mean) {
  const { far, ofSize, edge } = reachOf(law, choice);
  if (far <= INSIDE) return 0;
  const [there] = law.discrepancy ? meansOf(fittedAndDrawn(law, [edge]).draws, 1) : [mean];
  const steeper = Math.max(1, Math.abs(mean - there) / (far * law.fall));
  const grown = (1 - law.constant) * far ** 2 + law.constant * ofSize ** 2;
  return (law.discrepancy * steeper) ** 2 * far + (GROWTH * law.misfit) ** 2 * grown;
}

/** Middles and half widths of the log losses' intervals, with and without the noise of a run; `more` variance each. */
function intervalsOf(law, choices, more) {
  const count = choices.length,
    { fitted, draws } = fittedAndDrawn(law, choices),
    mean = meansOf(draws, count);
  return choices.map((choice, place) => {
    const column = Float64Array.from({ length: draws.length / count }, (_, row) => draws[row * count + place]);
    let own = law.misfit ** 2,
      shift = mean[place] - fitted[place];
    if (law.correction !== null) {
      const { weights, left } = weightsAt(law, choice);
      shift += carried(law, weights, 0);
      for (let row = 0; row < column.length; row += 1) column[row] -= carried(law, weights, row + 1);
      own = left;
    }
    column.sort();
    const spread = (quantile(column, 0.95) - quantile(column, 0.05)) / WIDTH;
    const base = (INFLATION * spread) ** 2 + shift ** 2 + own + beyondOf(law, choice, mean[place]) + more[place];
    const ofRun = Math.max(law.noise ** 2 - law.misfit ** 2, 0);
    const half = (variance) => law.student * Math.sqrt(variance);
    return { middle: mean[place], law: half(base), run: half(base + ofRun) };
  });
}
