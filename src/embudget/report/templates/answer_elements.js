// Elements and numbers for a reader, for the answer and for the table of runs. All text goes in as text, never as HTML.

/** An element; attributes that are false or null are left out. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((one) => one !== null));
  return made;
}

/** A number for a reader: 0.0012, 1,250, 1.25e11. */
function shownNumber(value, digits = 3) {
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6)) {
    return general(value, digits).replace(/e([+-])0*/, (_, sign) => `e${sign === "-" ? "-" : ""}`);
  }
  return Math.abs(value) >= 10 ** digits - 0.5 ? grouped(Math.round(value)) : general(value, digits);
}
