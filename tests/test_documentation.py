"""The programs on the pages run as they stand there, and print what stands under them.

A ```python block of a page runs after those above it; a ```text block that follows one holds what that one prints.
`python -m tests.test_documentation` writes such blocks anew where the output has changed.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import linecache
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^```python\n(?P<program>.*?)^```$(?:\n+^```text\n(?P<printed>.*?)^```$)?", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
# What differs from version to version or from run to run: names of kernels, lines of a page, estimates and times.
CHANGING = [
    (re.compile(r"\b[a-z]*[0-9a-f]{20}\b"), "KERNEL"),
    (re.compile(r"(\w\.md):\d+"), r"\1"),
    (re.compile(r"\d+(\.\d+)? us"), "TIME us"),
    (re.compile(r"^ +\d+\.\d\d( +\d+\.\d%)?  ", re.MULTILINE), "TIME "),
]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def lasting(text: str) -> str:
    """Printed text without what may change."""
    for pattern, instead in CHANGING:
        text = pattern.sub(instead, text)
    return text


def outputs(page: Path) -> Iterator[tuple[re.Match[str], str]]:
    """Run the programs of a page in order: each one's place on the page, and what it printed."""
    text = page.read_text()
    # The kernels quote the lines they come from.
    linecache.cache[page.name] = (len(text), None, text.splitlines(keepends=True), page.name)
    names: dict[str, object] = {"__name__": "__main__"}
    for match in BLOCK.finditer(text):
        # Blank lines in front give every traceback, plan and error message the page's own line numbers.
        program = "\n" * text.count("\n", 0, match.start("program")) + match["program"]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(program, page.name, "exec"), names)
        yield match, printed.getvalue()


def as_printed(wanted: str | None, printed: str) -> bool:
    """Whether a page's text block, if there is one, tells what was printed."""
    return wanted is None or doctest.OutputChecker().check_output(lasting(wanted), lasting(printed), OPTIONS)


def with_programs() -> list[Path]:
    return [page for page in PAGES if BLOCK.search(page.read_text())]


def test_the_readme_shows_programs() -> None:
    assert ROOT / "README.md" in with_programs()


@pytest.mark.parametrize("page", with_programs(), ids=name)
def test_programs_of_a_page_run_and_print_what_it_says(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for match, printed in outputs(page):
        line = page.read_text().count("\n", 0, match.start()) + 1
        assert as_printed(match["printed"], printed), f"{name(page)}:{line} prints\n{printed}"


def test_another_output_is_noticed() -> None:
    assert as_printed("a  1.5 us\n", "a 2.5 us\n")
    assert not as_printed("a 1 us\n", "b 1 us\n")
    assert not as_printed("", "something\n")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert broken == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=name)
def test_every_page_is_reached_from_the_index(page: Path) -> None:
    linked = {
        (listing.parent / target).resolve()
        for listing in (ROOT / "docs" / "index.md", ROOT / "docs" / "adr" / "README.md")
        for target in LINK.findall(listing.read_text())
    }
    assert page in linked or page == ROOT / "docs" / "index.md"


def rewrite(page: Path) -> bool:
    """Bring the text blocks of a page up to date; whether there was anything to do."""
    text = page.read_text()
    for match, printed in reversed(list(outputs(page))):
        if not as_printed(match["printed"], printed):
            start, end = match.span("printed")
            text = text[:start] + printed.rstrip("\n") + "\n" + text[end:]
    changed = text != page.read_text()
    page.write_text(text)
    return changed


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for each in with_programs():
            if rewrite(each):
                rewrite(each)  # once more: the first time may have moved the lines that are printed
                print(f"written anew: {os.path.relpath(each, ROOT)}")
