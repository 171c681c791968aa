// What the reader has set. It stands in the address behind #, so that a link or a bookmark shows the same page again.

const THEMES = ["system", "light", "dark"];
const READERS = []; // functions that follow the state, called after each change

function read(id) {
  const written = document.getElementById(id);
  return written ? JSON.parse(written.textContent) : null;
}

const METHODS = read("methods-data");
const NAMES = METHODS.map((one) => one.name);
const state = { theme: "system", hidden: new Set(), find: "", kind: "", status: "", sort: "", answer: {} };

/** Take the state from the address. What it names and the page does not have is left out. */
function restoreState() {
  const asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const { theme, hide, find, kind, status, sort, ...answer } = asked;
  state.theme = THEMES.includes(theme) ? theme : "system";
  state.hidden = new Set((hide || "").split(",").filter((name) => NAMES.includes(name)));
  Object.assign(state, { find: find || "", kind: kind || "", status: status || "", sort: sort || "", answer });
  if (window.embudgetAnswer?.restore) {
    embudgetAnswer.restore(answer);
    state.answer = embudgetAnswer.state();
  }
}

function writeState() {
  const { theme, hidden, find, kind, status, sort, answer } = state;
  const own = { theme: theme === "system" ? "" : theme, hide: [...hidden].join(","), find, kind, status, sort };
  const set = Object.entries({ ...answer, ...own }).filter(([, value]) => value !== "");
  const hash = new URLSearchParams(set).toString().replace(/%3A/g, ":").replace(/%2C/g, ",");
  if (location.hash.slice(1) === hash) return;
  try {
    history.replaceState(null, "", hash ? `#${hash}` : `${location.pathname}${location.search}`);
  } catch {
    // inside another document, as in a notebook, there is no address of its own
  }
}

/** Change the state, the address, and all that follows. */
function change(values) {
  Object.assign(state, values);
  writeState();
  for (const follow of READERS) follow();
}

function toggleMethod(name) {
  const hidden = new Set(state.hidden);
  if (!hidden.delete(name)) hidden.add(name);
  change({ hidden });
}

/** Show one method alone, or all again where it is alone already. */
function onlyMethod(name) {
  const others = NAMES.filter((one) => one !== name);
  const alone = !state.hidden.has(name) && others.every((one) => state.hidden.has(one));
  change({ hidden: new Set(alone ? [] : others) });
}
