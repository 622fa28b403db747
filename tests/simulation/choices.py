"""Enumerate every way that a run with bounded choices can go.

A run asks `pick(n)` whenever something could happen in n ways. The first run answers 0 each time; then the
last answer that can still grow grows by one and everything after it is asked afresh, as an odometer counts.
When no answer can grow, every way has been tried.

Worked by hand: a run that asks pick(2), and after 1 also pick(2), is made three times: [0], [1, 0], [1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class Choices:
    """The answers of one run, replayed from a prefix and extended with zeros."""

    def __init__(self, prefix: Sequence[int] = ()) -> None:
        self._prefix = list(prefix)
        #: (answer, number of ways) for every pick so far.
        self.made: list[tuple[int, int]] = []

    def pick(self, ways: int) -> int:
        """An answer from 0 to ways - 1; 0 is always the uneventful one."""
        position = len(self.made)
        answer = self._prefix[position] if position < len(self._prefix) else 0
        self.made.append((answer, ways))
        return answer

    @property
    def answers(self) -> tuple[int, ...]:
        return tuple(answer for answer, _ in self.made)

    def next_prefix(self) -> list[int] | None:
        made = list(self.made)
        while made:
            answer, ways = made.pop()
            if answer + 1 < ways:
                return [a for a, _ in made] + [answer + 1]
        return None


def every_way() -> Iterator[Choices]:
    """Yield Choices until every way was tried; each must be used up by a run before the next is taken."""
    prefix: list[int] | None = []
    while prefix is not None:
        choices = Choices(prefix)
        yield choices
        prefix = choices.next_prefix()
