"""Every citation in code, tests and docs leads somewhere (docs/reference/apis/README.md, "Citations")."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = (
    *(
        "bench",
        "cli",
        "config",
        "connectors",
        "console",
        "docs",
        "examples",
        "mappings",
        "sandbox",
        "scripts",
    ),
    *("sync", "tests"),
)
SUFFIXES = {".graphql", ".md", ".mjs", ".py", ".toml", ".txt"}
#: A page with or without its folders, a section of the page that was named last, or a point of Accumula.
CITATION = re.compile(
    r"(?P<page>(?:[\w.-]+/)*[\w-]+\.md)\b"
    r"|§(?P<section>[A-Z]?\d+(?:\.\d+)*)"
    r"|\bAccumula (?P<points>\d+(?:, \d+)*)"
)
#: What may follow a page's name, to cite a part of it.
HEADING = re.compile(r"`?(?:\]\([^)]*\))?, \"(?P<heading>[^\"]+)\"")
STEP = re.compile(r", (?:step|point) (?P<step>\d+)")
LETTERED = re.compile(r" (?P<letters>[A-D]\d(?:(?:, | and )[A-D]\d)*)")
PHRASE = re.compile(r": (?P<phrase>[^;:]+)$")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
#: A file of the repository between backticks, perhaps with a test in it; `000N_…` stands for any number.
NAMED_FILE = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+\.(?:py|md|txt|toml|graphql))(?:::[\w:]+)?`")
CODE_BLOCK = re.compile(r"```.*?```", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


@dataclass(frozen=True)
class Citation:
    """One citation, as it reads and where it stands."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.text}"


def files() -> list[Path]:
    top = [path for path in ROOT.iterdir() if path.is_file()]
    below = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    return [
        path
        for path in (*sorted(top), *below)
        if path.suffix in SUFFIXES and "node_modules" not in path.parts
    ]


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def pages() -> dict[str, list[Path]]:
    """Every page by its file name."""
    found: dict[str, list[Path]] = {}
    for path in files():
        if path.suffix == ".md":
            found.setdefault(path.name, []).append(path)
    return found


def page_of(name: str, file: Path) -> Path | None:
    """The page that a name means in a file: by its path, or by its file name where only one page has it."""
    for folder in (ROOT, file.parent, ROOT / "docs"):
        if (folder / name).is_file():
            return (folder / name).resolve()
    known = pages().get(name, [])
    return known[0] if len(known) == 1 else None


@cache
def sections_of(page: Path) -> frozenset[str]:
    return frozenset(re.findall(r"(?m)^#{2,}\s+([A-Z]?\d+(?:\.\d+)*)\.?\s", text_of(page)))


@cache
def headings_of(page: Path) -> tuple[str, ...]:
    return tuple(re.findall(r"(?m)^#{1,6}\s+(.+?)\s*$", CODE_BLOCK.sub("", text_of(page))))


def steps_of(page: Path) -> set[str]:
    return set(re.findall(r"(?m)^(\d+)\. ", text_of(page)))


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as the site makes them and as Git hosts do."""
    found = set()
    for heading in headings_of(page):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        folded = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        found.add(re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", folded).strip().lower()))
        found.add(re.sub(r"[^\w\s-]", "", plain).strip().lower().replace(" ", "-"))
    return found


def flat(text: str) -> str:
    """The text with what stands between a comment's lines made a blank of the same length."""
    return re.sub(r"\n[ \t]*(?:#:?|//)?[ \t]?", lambda found: "\n".ljust(len(found[0])), text)


def citations(path: Path) -> Iterator[tuple[Citation, bool]]:
    """Every citation of a file, and whether it resolves."""
    text = flat(text_of(path))
    spaced = text.replace("\n", " ")
    page: Path | None = path if path.suffix == ".md" else None
    for found in CITATION.finditer(spaced):
        here = Citation(path, text.count("\n", 0, found.start()) + 1, found[0])
        if found["page"]:
            page = page_of(found["page"], path)
            yield here, page is not None
            if page is not None:
                yield from parts(spaced, found, here, page)
        elif found["section"]:
            yield here, page is not None and found["section"] in sections_of(page)
        else:
            named = page_of("peers.md", path)
            points = set(found["points"].split(", "))
            yield here, named is not None and points <= steps_of(named)


def parts(text: str, found: re.Match[str], here: Citation, page: Path) -> Iterator[tuple[Citation, bool]]:
    """What is cited of a page right behind its name: a heading, a step, a lettered section, a phrase."""
    line_end = text_of(here.file).splitlines()[here.line - 1] if here.file.suffix == ".txt" else ""
    if heading := HEADING.match(text, found.end()):
        cited = re.sub(r"\s+", " ", heading["heading"])
        yield (
            Citation(here.file, here.line, f'{here.text}, "{cited}"'),
            any(cited in known for known in headings_of(page)) or f"**{cited}**" in text_of(page),
        )
    if step := STEP.match(text, found.end()):
        yield Citation(here.file, here.line, here.text + step[0]), step["step"] in steps_of(page)
    if letters := LETTERED.match(text, found.end()):
        cited_letters = set(re.findall(r"[A-D]\d", letters["letters"]))
        yield Citation(here.file, here.line, here.text + letters[0]), cited_letters <= sections_of(page)
    if phrase := PHRASE.search(line_end):
        words = " ".join(text_of(page).split()).lower()
        yield Citation(here.file, here.line, here.text + phrase[0]), phrase["phrase"].lower() in words


def links(path: Path) -> Iterator[tuple[Citation, bool]]:
    """Every relative link of a page, and whether file and anchor are there."""
    text = CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text_of(path))
    for found in LINK.finditer(text):
        target, _, anchor = found["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        here = Citation(path, text.count("\n", 0, found.start()) + 1, found[0])
        page = (path.parent / target).resolve() if target else path
        exists = page.is_file() and page.is_relative_to(ROOT)
        yield here, exists and (not anchor or page.suffix != ".md" or anchor in anchors_of(page))


def test_given_the_repository_then_every_citation_resolves() -> None:
    found = [one for path in files() if path != Path(__file__) for one in citations(path)]
    assert len(found) > 300
    assert [str(citation) for citation, resolves in found if not resolves] == []


def test_given_the_docs_then_every_relative_link_resolves() -> None:
    found = [one for path in files() if path.suffix == ".md" for one in links(path)]
    assert len(found) > 80
    assert [str(citation) for citation, resolves in found if not resolves] == []


def test_given_the_docs_then_every_file_that_they_name_is_there() -> None:
    named = [
        Citation(path, text_of(path).count("\n", 0, found.start()) + 1, found[1])
        for path in files()
        if path.suffix == ".md"
        for found in NAMED_FILE.finditer(text_of(path))
    ]
    assert len(named) > 60
    assert [str(one) for one in named if "000N" not in one.text and not (ROOT / one.text).is_file()] == []


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("(flow.md §4)", []),
        ("(flow.md §4, §99)", ["§99"]),
        ("(docs/reference/apis/shopify.md §3.1)", []),
        ("(shopify.md\n    # §3.2)", []),
        ("(nowhere.md)", ["nowhere.md"]),
        ("§4 of nothing", ["§4"]),
        ('(design.md, "Brakes")', []),
        ('(design.md, "Breaks")', ['design.md, "Breaks"']),
        ("(design.md, step 5)", []),
        ("(design.md, step 55)", ["design.md, step 55"]),
        ("(lightspeed.md A2 and B2)", []),
        ("(lightspeed.md A2 and D9)", ["lightspeed.md A2 and D9"]),
        ("Accumula 6", []),
        ("Accumula 6, 600", ["Accumula 6, 600"]),
    ],
)
def test_given_a_citation_then_one_that_leads_nowhere_is_found(
    tmp_path: Path, text: str, broken: list[str]
) -> None:
    file = tmp_path / "cites.py"
    file.write_text(text, encoding="utf-8")
    assert [citation.text for citation, resolves in citations(file) if not resolves] == broken
