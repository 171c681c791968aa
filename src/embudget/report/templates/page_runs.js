// The table of runs: of up to 10,000 rows some are made at once and the others as the reader gets there.

const PIECE = 200;

function cellText(value, form) {
  if (value === null) return "–";
  if (form === "text" || form === "whole") return String(value);
  return form === "number" || Math.abs(value) >= 1e6 ? shownNumber(value) : grouped3(fixed(value, Number(form)));
}

/** A decimal number with commas in its whole part. */
function grouped3(text) {
  const [whole, part] = text.split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
}

/** What a reader may look for in a row, in small letters. */
function searched(row, columns) {
  return row.map((value, place) => cellText(value, columns[place].form)).join("\n").toLowerCase();
}

/** Compare two values of a column; what is missing stays at the end. */
function compared(a, b, rising) {
  if (a === null || b === null) return (a === null) - (b === null);
  return (a < b ? -1 : a > b ? 1 : 0) * (rising ? 1 : -1);
}

/** A cell of a CSV; a text that a spreadsheet would take for a formula begins with an apostrophe. */
function csvCell(value, form) {
  if (value === null) return "";
  const text = form === "text" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

function csvOf(columns, rows) {
  const lines = rows.map((row) => row.map((value, place) => csvCell(value, columns[place].form)).join(","));
  return `${[columns.map(({ name }) => name).join(","), ...lines].join("\n")}\n`;
}

function startRuns() {
  const found = read("runs-data");
  if (!found) return;
  const { columns, rows, kinds } = found;
  const at = Object.fromEntries(columns.map(({ name }, place) => [name, place]));
  const words = []; // of each row, made as soon as the reader looks for any
  const section = document.querySelector(".runs"),
    form = section.querySelector(".filter"),
    count = section.querySelector(".count"),
    table = section.querySelector(".run-table"),
    scroll = table.parentNode,
    more = section.querySelector("[data-more]");
  let shown = [],
    made = 0;

  const option = (value) => element("option", { value }, value.replace(/_/g, " "));
  form.kind.append(...[...new Set(Object.values(kinds))].map(option));
  form.status.append(...[...new Set(rows.map((row) => row[at.status]))].sort().map(option));
  table.tHead.append(
    element(
      "tr",
      {},
      ...columns.map(({ name, label, form: how }) =>
        element(
          "th",
          { scope: "col", "data-column": name, class: how === "text" ? null : "number" },
          element("button", { type: "button" }, label),
        ),
      ),
    ),
  );

  const rowElement = (row) =>
    element(
      "tr",
      { class: row[at.status] === "done" ? null : "failed" },
      ...row.map((value, place) => {
        const text = cellText(value, columns[place].form);
        const kind = columns[place].form !== "text" ? "number" : text.length > 40 ? "long" : null;
        return element("td", { class: kind }, text);
      }),
    );
  const addPiece = () => {
    table.tBodies[0].append(...shown.slice(made, made + PIECE).map(rowElement));
    made = Math.min(made + PIECE, shown.length);
    const left = shown.length - made;
    more.hidden = left === 0;
    more.textContent = `Show ${grouped(Math.min(left, PIECE))} more`;
    const one = shown.length === 1;
    const those = shown.length === rows.length ? "" : ` that ${one ? "matches" : "match"}, of ${grouped(rows.length)}`;
    count.textContent = `${left ? `The first ${grouped(made)} of ` : ""}${grouped(shown.length)} run${one ? "" : "s"}${those}.`;
  };
  const follow = () => {
    const wanted = state.find.toLowerCase().split(/\s+/).filter(Boolean);
    shown = rows.filter(
      (row, place) =>
        !state.hidden.has(row[at.method]) &&
        (!state.kind || kinds[row[at.method]] === state.kind) &&
        (!state.status || row[at.status] === state.status) &&
        wanted.every((word) => (words[place] ??= searched(row, columns)).includes(word)),
    );
    const column = state.sort.replace(/^-/, ""),
      rising = !state.sort.startsWith("-");
    if (column in at) shown.sort((a, b) => compared(a[at[column]], b[at[column]], rising));
    for (const head of table.tHead.rows[0].cells) {
      if (head.dataset.column === column) head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    for (const name of ["find", "kind", "status"]) if (form[name].value !== state[name]) form[name].value = state[name];
    made = 0;
    table.tBodies[0].replaceChildren();
    scroll.scrollTop = 0;
    addPiece();
  };

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => change({ [target.name]: target.value }));
  table.tHead.addEventListener("click", ({ target }) => {
    const head = target.closest("th");
    if (head) change({ sort: `${state.sort === head.dataset.column ? "-" : ""}${head.dataset.column}` });
  });
  scroll.addEventListener("scroll", () => {
    if (made < shown.length && scroll.scrollTop + scroll.clientHeight > scroll.scrollHeight - 400) addPiece();
  });
  more.addEventListener("click", addPiece);
  form.querySelector("[data-save]").addEventListener("click", () => {
    const file = new Blob([csvOf(columns, shown)], { type: "text/csv" });
    const link = element("a", { href: URL.createObjectURL(file), download: "runs.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  READERS.push(follow);
  follow();
}
