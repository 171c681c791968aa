// From which budget on does training pay, beside a start as it is? embudget.recipe.untrained and .lowest.
// It looks at a whole grid of budgets, so that it takes as long as dozens of answers: ask it when the reader pauses.

const BEYOND = 16; // crossovers are sought up to this factor above the budget and the largest measured one
const FACTOR = 1.5; // between two budgets of the grid
const TAILS = 0.05;
const LEAST_SD = 1e-12;

/** The words of `embudget recipe` on when training pays, for a recipe whose `untrained` is there. */
function paysText(recipe) {
  const { budget, interval: between, share, searched, perHour } = paysFrom(recipe);
  const told = (flops) => (perHour === null ? `${general(flops, 2)} FLOP` : `${general(flops / perHour, 2)} hours`);
  if (budget === null) return `up to ${told(searched)} training is not seen to pay`;
  if (between === null) {
    const crossing = `${fixed(100 * share, 0)} % of the draws cross`;
    return `training pays from about ${told(budget)} on, which is undetermined (${crossing})`;
  }
  const [low, high] = between.map((end) => told(end).split(" ")[0]);
  return `training pays from ${told(budget)} on, with 90 % ${low} to ${high}`;
}

function paysFrom({ asked, budget, untrained, rate_cost: rateCost }) {
  const [low, high] = spanNear(asked, budget),
    budgets = gridBetween(low, high);
  const lowest = asked.map((q) => lowestOf(q, budgets)),
    extra = Math.log1p(rateCost),
    level = Math.log(untrained.loss);
  const rows = Math.max(...lowest.map((one) => one.rows));
  const found = budgets.map((_, place) => {
    const best = lowest.reduce((least, one) => (one.means[place] < least.means[place] ? one : least));
    const mean = level - (best.means[place] + extra),
      error = Math.sqrt(best.beyond[place]);
    if (!Number.isFinite(mean)) return null;
    const gaps = Float64Array.from(
      { length: rows },
      (_, row) =>
        level - (Math.min(...lowest.map(({ draws }) => draws[place][draws[place].length === 1 ? 0 : row])) + extra),
    );
    return { at: budgets[place], mean, gaps: withError(asked[0].law, gaps, mean, error) };
  });
  const perHour = asked[0].clock === null ? null : 3600 * asked[0].clock.flopsPerSecond;
  return { searched: high, perHour, ...overtaking(found, rows) };
}

function spanNear(asked, budget) {
  const smallest = Math.min(...asked.map((q) => q.one.budgets[0])),
    largest = Math.max(...asked.map((q) => q.one.budgets[1]));
  const low = Math.min(budget, smallest),
    high = BEYOND * Math.max(budget, largest);
  if (asked[0].limits.serveTokens) return [low, high];
  return [Math.max(low, smallest / MAX_EXTRAPOLATION), Math.min(high, largest * MAX_EXTRAPOLATION)];
}

function gridBetween(low, high) {
  const steps = Math.ceil(Math.log(high / low) / Math.log(FACTOR));
  return Array.from({ length: steps + 1 }, (_, step) => (step === steps ? high : low * (high / low) ** (step / steps)));
}

/** By budget, a lineage's lowest log loss by the predictions and by every draw, and the variance of the distance. */
function lowestOf(q, budgets) {
  const means = [],
    draws = [],
    beyond = [];
  for (const budget of budgets) {
    const options = q.one.candidates
      .map((one) => optionOf(q, one, dueTo(q, one, budget)))
      .filter((one) => !("limit" in one));
    const every = options.length ? drawsOnPairs(onPairs(q), options) : new Float64Array([Infinity]);
    const count = options.length || 1,
      rows = every.length / count;
    means.push(Math.min(...meansOf(every, count)));
    draws.push(
      Float64Array.from({ length: rows }, (_, row) => Math.min(...every.subarray(row * count, (row + 1) * count))),
    );
    const [low, high] = q.one.budgets,
      far = options.map((one) => Math.max(1, one.trainFlops / high, low / one.trainFlops));
    beyond.push(q.law.discrepancy ** 2 * Math.log(far.length ? Math.min(...far) : 1));
  }
  return { means, draws, beyond, rows: Math.max(...draws.map((one) => one.length)) };
}

/** Differences by the draws about their mean, with an error that no draw shows. */
function withError(law, gaps, mean, error) {
  const sorted = Float64Array.from(gaps).sort(),
    sd = (quantile(sorted, 1 - TAILS) - quantile(sorted, TAILS)) / WIDTH;
  const wide = Math.hypot(sd > LEAST_SD ? sd : 0, (law.widening / INFLATION) * error);
  if (sd > LEAST_SD) return gaps.map((gap) => mean + ((gap - mean) / sd) * wide);
  const steps = Float64Array.from(law.normals).sort();
  return gaps.map((_, row) => mean + steps[row] * wide);
}

/** The budget between two neighbours where g turns positive; NaN where it does not. */
function zeroBetween(left, right, from, to) {
  if (!(left <= 0 && right >= 0 && left < right)) return NaN;
  return Math.exp(Math.log(from) + (-left / (right - left)) * (Math.log(to) - Math.log(from)));
}

/** Where the trained choices first overtake, with the interval and the share of the draws that do so on the grid. */
function overtaking(found, rows) {
  const there = found.filter((one) => one !== null),
    crossings = [];
  for (let place = 1; place < found.length; place += 1) {
    const [one, next] = [found[place - 1], found[place]];
    if (one === null || next === null || one.mean > 0 === next.mean > 0) continue;
    const up = next.mean > 0,
      sign = up ? 1 : -1; // up: trained overtakes untrained
    const budget = zeroBetween(sign * one.mean, sign * next.mean, one.at, next.at);
    const last = crossings.length ? crossings[crossings.length - 1].at : new Float64Array(rows);
    const at = last.map((after, row) => crossingNear(there, (other) => sign * other.gaps[row], budget, after));
    crossings.push({ up, budget, at });
  }
  const first = crossings.find((one) => one.up),
    shareOf = (at) => at.filter((one) => one > 0 && one < Infinity).length / rows;
  if (first) {
    const sorted = Float64Array.from(first.at).sort();
    const low = sorted[Math.floor(TAILS * (rows - 1))],
      high = sorted[Math.ceil((1 - TAILS) * (rows - 1))];
    return {
      budget: first.budget,
      interval: low > 0 && high < Infinity ? [low, high] : null,
      share: shareOf(first.at),
    };
  }
  return { budget: null, interval: null, share: crossings.length ? shareOf(crossings[0].at) : alikeShare(there, rows) };
}

/** The budget nearest to `near` at which a draw's g turns positive; 0 where it always is, infinite where never. */
function crossingNear(there, gap, near, after) {
  const outside = gap(there[there.length - 1]) > 0 && after <= 0 ? 0 : Infinity;
  let best = NaN,
    distance = Infinity;
  for (let place = 1; place < there.length; place += 1) {
    const [one, next] = [there[place - 1], there[place]],
      zero = zeroBetween(gap(one), gap(next), one.at, next.at);
    const far = Math.abs(Math.log(zero / near));
    if (zero > after && far < distance) [best, distance] = [zero, far];
  }
  return Number.isFinite(distance) ? best : outside;
}

/** Where no budget tells the two apart: the share of the draws that cross; else 0. */
function alikeShare(there, rows) {
  const alike =
    there.length > 0 &&
    there.every(({ gaps }) => {
      const sorted = Float64Array.from(gaps).sort();
      return quantile(sorted, TAILS) <= 0 && quantile(sorted, 1 - TAILS) >= 0;
    });
  if (!alike) return 0;
  const sign = there[0].mean <= 0 ? 1 : -1;
  const at = Array.from({ length: rows }, (_, row) =>
    crossingNear(there, (one) => sign * one.gaps[row], there[0].at, 0),
  );
  return at.filter((one) => one > 0 && one < Infinity).length / rows;
}
