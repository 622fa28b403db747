"""Configuration that cannot be used, as sentences that name the file, the key and the expected form."""

from __future__ import annotations

from collections.abc import Sequence


class ConfigError(Exception):
    """Configuration that cannot be used. Each problem is a sentence for people and never holds a value."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
