// Light or dark: as the system says, or as the reader chose. Paper is always light.

const systemDark = matchMedia("(prefers-color-scheme: dark)");
let printing = false;

function isDark() {
  return !printing && (state.theme === "dark" || (state.theme === "system" && systemDark.matches));
}

function followTheme() {
  const root = document.documentElement;
  if (state.theme === "system") delete root.dataset.theme;
  else root.dataset.theme = state.theme;
  for (const one of document.querySelectorAll("[name=theme]")) one.checked = one.value === state.theme;
}

function startTheme() {
  const choice = document.querySelector(".theme");
  choice.hidden = false;
  choice.addEventListener("change", ({ target }) => change({ theme: target.value }));
  READERS.push(followTheme);
  followTheme();
}
