// The law's own error near measured cells, predicted from their residuals: embudget.laws.misfit.

/** The residuals' Cholesky factor and weights, by which the correction is carried to other points. */
function solved({ correction, kinds }) {
  if (correction === null) return null;
  const one = { ...correction };
  for (const name of ["logN", "logD", "residuals", "variances"]) one[name] = unpacked(correction[name]);
  one.kinds = one.methods.map((method) => kinds[method]);
  const count = one.kinds.length,
    factor = new Float64Array(count * count);
  for (let row = 0; row < count; row += 1) {
    const covariance = covariances(one, one.kinds[row], one.logN[row], one.logD[row]);
    for (let column = 0; column <= row; column += 1) {
      let sum = covariance[column] + (row === column ? one.variances[row] : 0);
      for (let k = 0; k < column; k += 1) sum -= factor[row * count + k] * factor[column * count + k];
      factor[row * count + column] = row === column ? Math.sqrt(sum) : sum / factor[column * count + column];
    }
  }
  return { ...one, factor, weights: backward(factor, forward(factor, one.residuals)) };
}

/** L^-1 of a vector, L the lower triangle. */
function forward(factor, values) {
  const count = values.length,
    found = new Float64Array(count);
  for (let row = 0; row < count; row += 1) {
    let sum = values[row];
    for (let k = 0; k < row; k += 1) sum -= factor[row * count + k] * found[k];
    found[row] = sum / factor[row * count + row];
  }
  return found;
}

/** The inverse of L's transpose of a vector. */
function backward(factor, values) {
  const count = values.length,
    found = new Float64Array(count);
  for (let row = count - 1; row >= 0; row -= 1) {
    let sum = values[row];
    for (let k = row + 1; k < count; k += 1) sum -= factor[k * count + row] * found[k];
    found[row] = sum / factor[row * count + row];
  }
  return found;
}

function covariances(one, kind, logN, logD) {
  const found = new Float64Array(one.kinds.length),
    [ofN, ofD] = one.lengths;
  for (let place = 0; place < found.length; place += 1) {
    const x = (logN - one.logN[place]) / ofN,
      z = (logD - one.logD[place]) / ofD;
    found[place] = one.misfit ** 2 * (kind === one.kinds[place] ? 1 : one.across) * Math.exp(-0.5 * (x * x + z * z));
  }
  return found;
}

/** The covariances of a choice's own error with the cells'. */
function covariancesAt(law, { candidate, tokens }) {
  return covariances(law.correction, law.kinds[candidate.method], Math.log(candidate.modelParams), Math.log(tokens));
}

/** What the correction is expected to be at a choice. */
function correctionAt(law, choice) {
  return covariancesAt(law, choice).reduce((sum, value, place) => sum + value * law.correction.weights[place], 0);
}

/** How much each cell's residual counts at a choice, and the variance that is left there. */
function weightsAt(law, choice) {
  const between = covariancesAt(law, choice),
    { factor, misfit } = law.correction,
    weights = backward(factor, forward(factor, between));
  const explained = between.reduce((sum, value, place) => sum + value * weights[place], 0);
  return { weights, left: Math.max(misfit ** 2 - explained, 0) };
}

/** Log losses of the cells by the fits, then by each draw, about the mean of the draws (1 + draws, cells). */
function deviationsOf(law) {
  if (!law.deviations) {
    const { methods, logN, logD, zeroShot } = law.correction;
    const cells = methods.map((method, place) => ({
      candidate: { method, modelParams: Math.exp(logN[place]), zeroShot: zeroShot && [zeroShot[place], 0] },
      tokens: Math.exp(logD[place]),
    }));
    const { fitted, draws } = uncorrected(law, cells),
      mean = meansOf(draws, cells.length);
    law.deviations = Float64Array.from([...fitted, ...draws], (value, at) => value - mean[at % cells.length]);
  }
  return law.deviations;
}

/** What those weights carry of the fits' deviation (row 0), or of a draw's. */
function carried(law, weights, row) {
  const deviations = deviationsOf(law);
  return weights.reduce((sum, value, place) => sum + value * deviations[row * weights.length + place], 0);
}
