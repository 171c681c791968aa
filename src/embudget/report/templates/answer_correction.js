// The law's own error near measured cells, predicted from their residuals: embudget.laws.misfit.

/** The residuals' Cholesky factor and weights, by which the correction is carried to other points. */
function solved(correction) {
  if (correction === null) return null;
  const one = { ...correction };
  for (const name of ["logN", "logD", "residuals", "variances"]) one[name] = unpacked(correction[name]);
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
  const half = forward(factor, one.residuals),
    weights = new Float64Array(count);
  for (let row = count - 1; row >= 0; row -= 1) {
    let sum = half[row];
    for (let k = row + 1; k < count; k += 1) sum -= factor[k * count + row] * weights[k];
    weights[row] = sum / factor[row * count + row];
  }
  return { ...one, factor, weights };
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

/** What the correction is expected to be at a choice, and its covariances with the cells. */
function correctionAt(law, { candidate, tokens }) {
  const one = law.correction,
    own = law.kinds[candidate.method];
  const between = covariances(one, own, Math.log(candidate.modelParams), Math.log(tokens));
  return { mean: between.reduce((sum, value, place) => sum + value * one.weights[place], 0), between };
}

/** The variance that the correction leaves at a choice. */
function leftVariance(law, choice) {
  const explained = forward(law.correction.factor, correctionAt(law, choice).between).reduce(
    (sum, value) => sum + value ** 2,
    0,
  );
  return Math.max(law.correction.misfit ** 2 - explained, 0);
}
