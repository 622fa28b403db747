"""Plays a transcript: what people type, and every word that they read, written down once.

Lines that begin with `$` are commands; what follows is what they say and their exit code. Lines that begin
with `#` tell the story; those that a test knows happen there. Empty lines do not count.
What differs from run to run is named in angle brackets.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

FOLDER = Path(__file__).parent / "transcripts"
#: A folder to write transcripts to as they are now, instead of comparing them.
WRITE_TO = os.environ.get("TRANSCRIPTS_TO")


@dataclass(frozen=True)
class Said:
    """What a command said, without what is another each time, and its exit code."""

    text: str
    code: int


def play(
    name: str,
    command: Callable[[Sequence[str]], Said],
    events: Mapping[str, Callable[[], object]],
) -> None:
    """Raise AssertionError where something else is said than is written down, before what happens next."""
    path = FOLDER / f"{name}.txt"
    script = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    left, told = dict(events), list[str]()
    for line in script:
        if line.startswith("# "):
            # Whatever happens now rests on what was done before.
            _compare(told, script[: len(told)])
            told.append(line)
            if line[2:] in left:
                left.pop(line[2:])()
        elif line.startswith("$ "):
            _, *arguments = shlex.split(line[2:])
            said = command(arguments)
            told += [line, *said.text.splitlines(), f"exit {said.code}"]
    assert not left, "these never happen"
    if WRITE_TO:
        (Path(WRITE_TO) / path.name).write_text(_spaced(told), encoding="utf-8")
    else:
        _compare(told, script)


def _compare(told: Sequence[str], written: Sequence[str]) -> None:
    if told != written and not WRITE_TO:
        differs = "\n".join(unified_diff(written, told, "written down", "said now", lineterm=""))
        raise AssertionError(f"something else is said than is written down:\n{differs}")


def _spaced(lines: Sequence[str]) -> str:
    """With an empty line after each exit code."""
    return "\n".join(f"{line}\n" if re.fullmatch(r"exit \d+", line) else line for line in lines)


def plain(text: str, folder: Path) -> str:
    """Without what is another one each time, without empty lines and spaces at the ends of lines."""
    text = text.replace(str(folder), "<folder>")
    text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{5,8} [A-Z]{3,4}", "<time>", text)
    text = re.sub(
        r"[0-9]{1,2} [A-Z][a-z]+ [0-9]{4}( at [0-9:]{5})?", lambda on: "<time>" if on[1] else "<date>", text
    )
    text = re.sub(r"saw it at [0-9:]{8}", "saw it <time>", text)
    text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "<date>", text)
    text = re.sub(r"(Seconds +)[0-9.]+", r"\1<seconds>", text)
    # A shop's search shows late what is new, so how much a pass reads depends on how fast the machine is.
    text = re.sub(r"((?:Hints read|Cards looked at|Cards worked on) +)[0-9]+", r"\1<count>", text)
    text = re.sub(r"less than a minute old|[0-9]+ minutes? old", "<age>", text)
    text = re.sub(r"[0-9]{8}-[0-9a-f]{6}", "PLAN-ID", text)
    # A rule is as long as its table is wide, which may depend on the folder's name.
    text = re.sub(r"─{100,}", "───", text)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
