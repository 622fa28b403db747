"""A command that a page tells people to use is there, with the options that it is given."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.lazy import LazyCommand
from cli.main import app

ROOT = Path(__file__).parents[3]
#: A block of shell, or a span in a sentence.
CODE = re.compile(r"```(?:sh|console)\n(?P<block>.*?)```|```.*?```|`(?P<span>[^`\n]+)`", re.DOTALL)
#: At the beginning of a line or behind a path, a prompt or another command.
COMMAND = re.compile(r"(?:^|/|\$ |&& |\| )giftsync((?: +[^\s`\"'|;&)<>\\]+)+)", re.MULTILINE)
#: Columns of a file of rejected rows, which are called `giftsync line` and so on.
COLUMNS = ("line", "column", "reason")
#: What was true when it was written.
HISTORY = ("CHANGELOG.md", "docs/explanation/decisions/")


@cache
def command_of(*path: str) -> Any:
    """The command or group at these words; None: there is none."""
    found: Any = typer.main.get_command(app)
    for word in path:
        found = getattr(found, "commands", {}).get(word)
        if isinstance(found, LazyCommand):
            found = found.loaded()
    return found


def fault_of(told: str) -> str:
    """What is wrong with a command as it is told; empty: nothing is."""
    words, path = told.split(), list[str]()
    while words and hasattr(command_of(*path), "commands") and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        path.append(words.pop(0))
        if command_of(*path) is None:
            return f"there is no giftsync {' '.join(path)}"
    found = command_of(*path)
    # `close 2026-11` is `close month 2026-11`.
    can = [found, *getattr(found, "commands", {}).values()]
    known = {name for one in can for option in one.params for name in (*option.opts, *option.secondary_opts)}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return next((f"giftsync {' '.join(path)} has no {one}" for one in given if one not in known), "")


def told_in(text: str) -> list[str]:
    spans = [found["block"] or found["span"] or "" for found in CODE.finditer(text)]
    return [found[1].strip() for span in spans for found in COMMAND.finditer(span)]


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ("sync --dry-run", ""),
        ("close 2026-11 --to statements", ""),
        ("conflicts resolve 7 value --amount 10", ""),
        ("sinc --dry-run", "there is no giftsync sinc"),
        ("sync --dry", "giftsync sync has no --dry"),
        ("conflicts show 7 --force", "giftsync conflicts show has no --force"),
    ],
)
def test_given_a_command_then_a_word_or_an_option_that_is_not_there_is_found(told: str, fault: str) -> None:
    assert told_in(f"Then `giftsync {told}`.") == [told]
    assert told_in(f"```sh\n.venv/bin/giftsync {told}\n```") == [told]
    assert fault_of(told) == fault


def test_given_the_docs_then_every_command_that_they_tell_is_there_with_its_options() -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    told = {
        (name, one)
        for name in listed.stdout.split()
        if not name.startswith(HISTORY)
        for one in told_in((ROOT / name).read_text("utf-8"))
        if one not in COLUMNS
    }

    assert len(told) > 300
    assert sorted(f"{name}: {why}" for name, one in told if (why := fault_of(one))) == []
