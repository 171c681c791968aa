// The parts of the page begin here; the figures follow as soon as Plotly is there.

restoreState();
startTheme();
startFigures();
startRuns();
document.addEventListener("answerchange", ({ detail }) => {
  state.answer = detail;
  writeState();
});
addEventListener("hashchange", () => {
  restoreState();
  for (const follow of READERS) follow();
});
window.embudgetPage = { draw };
