"""What the pages name exists: every command and option in their text, every public name, every glossary term."""

import re

import embudget
from tests.command_line import Run
from tests.docs.pages import ROOT

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "docs").glob("[!_]*/*.md")} | {
    name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")
}
GROUPS = {"suite", "pairs", "store"}


def test_every_command_and_option_in_the_text_exists(run: Run) -> None:
    helps: dict[str, str] = {}
    named = 0
    for page, text in PAGES.items():
        for words in re.findall(r"`embudget ([a-z][^`]*)`", text):
            parts = words.split()
            command = " ".join(parts[:2] if parts[0] in GROUPS else parts[:1])
            if command not in helps:
                helps[command] = run(*command.split(), "--help").out
                assert "Usage:" in helps[command], (page, command)
            for option in re.findall(r"--[a-z][a-z-]+", words):
                assert option in helps[command], (page, words)
            named += 1
    assert named > 10


def test_every_option_in_the_text_is_one_of_some_command(run: Run) -> None:
    commands = [
        "spend", "plan", "train", "sweep", "fit", "recipe", "simulate", "evaluate", "export", "report", "records",
        "quickstart", "pairs build", "pairs index", "pairs mine", "push",
        "worker", "watch", "store copy", "upload",
    ]  # fmt: skip
    known = "".join(run(*command.split(), "--help").out for command in commands)
    for page, text in PAGES.items():
        for option in re.findall(r"`(--[a-z][a-z-]+)", text):
            assert option in known, (page, option)


def test_every_public_name_has_its_reference() -> None:
    page = PAGES["docs/reference/python.md"]
    documented = set(re.findall(r"^\.\. auto\w+:: embudget\.(\w+)$", page, re.MULTILINE))
    assert documented == set(embudget.__all__) - {"__version__"}


def test_every_page_leads_to_the_glossary_whose_terms_are_all_of_use() -> None:
    text = PAGES.pop("docs/concepts/glossary.md")
    terms = re.findall(r"^(\w+)$", text, re.MULTILINE)
    for page, content in PAGES.items():
        if page.startswith("docs/"):
            assert "{term}`" in content or "glossary.md" in content, page
    PAGES["docs/concepts/glossary.md"] = text
    assert {"N", "D", "C", "method", "cell", "setting", "trunk", "law", "frontier", "recipe", "regret"} <= set(terms)
