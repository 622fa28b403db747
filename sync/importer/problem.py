"""What is wrong with a file as a whole."""

from __future__ import annotations

from pathlib import Path

from mappings.sentences import say


class FileProblem(Exception):
    """A file cannot be used; as text it names the file, the line where there is one, and what to do.

    `said` is for whoever sent the file to a page: without its place, and without `commands`, which name
    what only a terminal can do.
    """

    def __init__(self, words: str, path: Path | None = None, line: int = 0, commands: str = "") -> None:
        where = "" if path is None else f"{path}:{line}: " if line else f"{path}: "
        super().__init__(f"{where}{words}{commands and f'. {commands}'}")
        self.said = say("Line {line}: {problem}", line=line, problem=words) if line else words
