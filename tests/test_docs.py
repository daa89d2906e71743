"""Documents tell the truth: every example parses, and what the pages on commands and on Python show is what happens."""

import doctest
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from billing.cli.main import main
from tests.commands import ROOT, Commands, blocks, examples

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "billing/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "sample_data").rglob("*.md")),
]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


# Where commands are described.
PAGES = ("commands.md", "documents.md", "alerts.md")
LEAVES = {path: command for path, command in commands(main) if not isinstance(command, click.Group)}


def help_examples(command: click.Command) -> list[str]:
    """The lines after `Example:` in a help text."""
    _, _, example = (command.help or "").replace("\\\n", " ").partition("Example:\n")
    return [line.strip().removeprefix("billing ") for line in example.strip().splitlines()]


def parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goes through a command line without doing anything; a `click.UsageError` when it cannot be understood."""
    for command in LEAVES.values():
        monkeypatch.setattr(command, "callback", lambda *_, **__: None)
    words = shlex.split(line, comments=True)
    end = next((at for at, word in enumerate(words) if word in (">", "|", "<", "&&")), len(words))
    main.main(words[:end], standalone_mode=False)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_a_paragraph_of_help_and_examples_that_parse(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = LEAVES[path]
    shown = help_examples(command)
    assert len((command.help or "").partition("Example:")[0]) > 80
    assert any(" ".join(path) in line for line in shown)
    for line in shown:
        parse(line, monkeypatch)


def test_every_help_has_an_example_and_fits_80_columns() -> None:
    for path in [(), *(path for path, _ in commands(main))]:
        shown = CliRunner(env={"COLUMNS": "200"}).invoke(main, [*path, "--help"]).stdout
        assert "Example:\n" in shown, path
        assert max(map(len, shown.splitlines())) <= 80, path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_of_a_document_parses(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for example in examples(document.read_text(encoding="utf-8")):
        parse(example.line, monkeypatch)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The commands in a directory that has the sample data, as the pages take it to be."""
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)
    return Commands(home=Path("billing-data"))


@pytest.mark.parametrize(
    ("page", "now"),
    [
        ("README.md", None),
        ("docs/commands.md", None),
        ("docs/alerts.md", None),
        ("docs/documents.md", "2026-04-02T09:00:00+09:00"),
    ],
)
def test_a_page_shows_what_the_commands_print(page: str, now: str | None, run: Commands) -> None:
    run = replace(run, now=now or run.now)
    for example in examples((ROOT / page).read_text(encoding="utf-8")):
        if example.output is not None:
            output = run(example.line).output
            assert output == example.output, example.line
            assert "--format" in example.line or max(map(len, output.splitlines())) <= 80


NIGHT = ("init", "catalog apply sample_data/catalog.toml", "ingest sample_data/events.ndjson", "nightly")


def test_the_page_on_explanations_shows_what_the_command_prints(run: Commands) -> None:
    for line in NIGHT:
        assert run(line).exit_code == 0
    (example,) = examples((ROOT / "docs" / "explain.md").read_text(encoding="utf-8"))
    assert run(example.line).output == example.output
    assert max(map(len, str(example.output).splitlines())) <= 80


def test_the_page_on_python_shows_what_the_functions_return(run: Commands) -> None:
    for line in NIGHT:
        assert run(line).exit_code == 0
    page = "\n".join(blocks((ROOT / "docs" / "python.md").read_text(encoding="utf-8"), "pycon"))
    session = doctest.DocTestParser().get_doctest(page, {}, "docs/python.md", None, None)
    assert len(session.examples) > 10
    assert doctest.DocTestRunner().run(session).failed == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        file, _, heading = target.partition("#")
        page = document.parent / file if file else document
        assert page.exists(), target
        assert not heading or heading in anchors(page), target


def anchors(page: Path) -> set[str]:
    """The names that a page's headings have in links."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_page_on_commands_names_every_command() -> None:
    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES)
    assert [path for path in LEAVES if f"billing {' '.join(path)}" not in text] == []
