// What the laws predict where the pairs are few, so that a budget repeats them: embudget.laws.on_pairs.
// `on` is {law, unique}: unique tokens of the training data, null where all tokens are new.

function effectiveTokens(on, tokens, deviation = 0) {
  if (on.unique === null || !(tokens > on.unique)) return tokens;
  const reuse = on.law.repetition.reuse * Math.exp(deviation * on.law.repetition.logSd);
  return on.unique * (1 - reuse * Math.expm1(-(tokens / on.unique - 1) / reuse));
}

function effectiveChoices(on, choices, deviation = 0) {
  return choices.map((one) => ({ ...one, tokens: effectiveTokens(on, one.tokens, deviation) }));
}

/** By how much a standard deviation of log R moves each log loss; 0 where no token is repeated. */
function slopesByReuse(on, choices) {
  const moved = new Float64Array(choices.length);
  if (on.unique === null) return moved;
  const places = choices.map((_, place) => place).filter((place) => choices[place].tokens > on.unique);
  if (!places.length) return moved;
  const mine = places.map((place) => choices[place]);
  const [more, less] = [1, -1].map((sign) =>
    meansOf(comparedDraws(on.law.few, effectiveChoices(on, mine, sign)), mine.length),
  );
  places.forEach((place, at) => {
    moved[place] = (more[at] - less[at]) / 2;
  });
  return moved;
}

/** Log losses of choices by every draw, each with its own R. */
function drawsOnPairs(on, choices) {
  const draws = comparedDraws(on.law, effectiveChoices(on, choices)),
    slopes = slopesByReuse(on, choices);
  if (!slopes.some((slope) => slope !== 0)) return draws;
  const count = choices.length;
  eachDraw(draws, count, (at, place) => {
    draws[at] += on.law.normals[(at - place) / count] * slopes[place];
  });
  return draws;
}

/** The predicted log losses of choices, the mean over the draws. */
function logLossesOnPairs(on, choices) {
  return meansOf(comparedDraws(on.law, effectiveChoices(on, choices)), choices.length);
}

function intervalsOnPairs(on, choices) {
  const slopes = slopesByReuse(on, choices);
  const more = choices.map((one, place) => {
    if (on.unique === null) return 0;
    const passes = Math.max(one.tokens / on.unique / on.law.repetition.passes, 1);
    return slopes[place] ** 2 + (BEYOND_PASSES * Math.log(passes)) ** 2;
  });
  return intervalsOf(on.law, effectiveChoices(on, choices), more);
}
