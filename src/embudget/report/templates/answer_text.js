// Numbers as Python writes them, so that the page's sentences are those of `embudget recipe`, to the letter.

/** The refusal of a question, in one line; `kind` is the class that Python raises. */
class Refusal extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Where a decimal rounding is a tie, JavaScript rounds up and Python to the even digit: undo it. */
function evenly(rounded, exact, places) {
  const [digits, exponent = "0"] = exact.split("e");
  const all = digits.replace("-", "").replace(".", "");
  if (!/^50*$/.test(all.slice(places)) || places < 1) return rounded;
  const last = Number(all[places - 1]);
  return last % 2 === 1 ? rounded : `${digits[0] === "-" ? "-" : ""}${all[0]}.${all.slice(1, places)}e${exponent}`;
}

/** As f"{value:.{digits}e}", as JavaScript writes exponents. */
function scientific(value, digits) {
  const exact = value.toExponential(60);
  return evenly(value.toExponential(digits), exact, digits + 1).replace(".e", "e");
}

/** As f"{value:.{digits}g}". */
function general(value, digits = 6) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [mantissa, power] = scientific(value, digits - 1).split("e");
  const exponent = Number(power);
  const trim = (text) => (text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
  if (exponent < -4 || exponent >= digits) {
    return `${trim(mantissa)}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const all = mantissa.replace("-", "").replace(".", "");
  const sign = mantissa[0] === "-" ? "-" : "";
  if (exponent < 0) return sign + trim(`0.${"0".repeat(-exponent - 1)}${all}`);
  const whole = all.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return sign + trim(`${whole}.${all.slice(exponent + 1)}`);
}

/** As f"{value:.{places}f}". */
function fixed(value, places) {
  const rounded = value.toFixed(places);
  const [whole, part] = Math.abs(value)
    .toFixed(Math.min(100, places + 60))
    .split(".");
  if (!/^50*$/.test(part.slice(places))) return rounded;
  const last = places ? part[places - 1] : whole[whole.length - 1];
  if (Number(last) % 2 === 1) return rounded;
  return `${value < 0 ? "-" : ""}${whole}${places ? `.${part.slice(0, places)}` : ""}`;
}

/** As f"{value:,}" of a whole number. */
function grouped(value) {
  return BigInt(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");
}

/** As round(value): halves to the even number. */
function roundEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** A learning rate as 1e-3 or 2.1e-3. */
function rateText(rate) {
  const [mantissa, exponent] = scientific(rate, 1).split("e");
  return `${mantissa.replace(/\.0$/, "")}e${Number(exponent)}`;
}

/** Bytes for a reader, as 24 GB or 512 MB. */
function bytesText(amount) {
  return amount >= 1e9 ? `${general(amount / 1e9, 3)} GB` : `${general(amount / 1e6, 3)} MB`;
}

const DIGITS = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

/** A finite number of what a reader typed, or a refusal that says its rule. */
function readNumber(text, field, { above = null, least = null, most = null, unit = "", kind = "ConfigError" } = {}) {
  if (typeof text === "string" && !DIGITS.test(text)) {
    throw new Refusal(kind, `${field} must be a number${unit && ` ${unit}`}, got '${text}'`);
  }
  const value = Number(text);
  let rule = least === null ? "finite" : `>= ${general(least)}`;
  rule = above === null ? rule : `finite and > ${general(above)}`;
  if (!Number.isFinite(value) || (above !== null && value <= above) || (least !== null && value < least)) {
    throw new Refusal(kind, `${field} must be ${rule}, got ${general(value)}`);
  }
  if (most !== null && value > most)
    throw new Refusal(kind, `${field} must be <= ${general(most)}, got ${general(value)}`);
  return value;
}

const UNITS = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12, ki: 2 ** 10, mi: 2 ** 20, gi: 2 ** 30, ti: 2 ** 40 };

/** Bytes of 24GB, 80GiB, 512MB or a plain number of bytes. */
function readBytes(text) {
  const found = /^\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(?:([kmgt]i?)?b)?\s*$/i.exec(String(text));
  const amount = found ? Number(found[1]) * UNITS[(found[2] || "").toLowerCase()] : 0;
  if (!(amount > 0 && amount < Infinity)) {
    const rule = "device_memory must be > 0, as 24GB, 80GiB, 512MB or a number of bytes";
    throw new Refusal("ConfigError", `${rule}, got ${typeof text === "string" ? `'${text}'` : text}`);
  }
  if (!found[2] && amount < 1e6 && !/b\s*$/i.test(String(text))) {
    const shown = typeof text === "string" ? `'${text}'` : text;
    const advice = `did you mean ${found[1]}GB?`;
    throw new Refusal("ConfigError", `device_memory without a unit is in bytes, got ${shown}: ${advice}`);
  }
  return amount;
}
