"""Numbers for cards that were bought online: from the pool, else made with the prefix; many at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from connectors.api.card import Seen
from connectors.api.side import Side
from mappings.serials import Serial
from sync.arrivals.numbers import NUMBER_LENGTH, is_unused
from sync.importer.looks import look
from sync.ledger.cards.pool import Pool, PoolNumber

#: Numbers tried for each that is wanted, before it is given up.
TRIES_PER_NUMBER = 4


class NoNumbers(Exception):
    """The pool is empty and no prefix is set; or the side does not tell which numbers are free."""


@dataclass
class Numbers:
    """Hands out numbers that are free on the side."""

    side: Side
    pool: Pool
    prefix: str | None
    clock: Callable[[], datetime]
    random_digits: Callable[[int], str] = field(
        default=lambda n: "".join(random.SystemRandom().choices("0123456789", k=n))
    )
    _after: int = field(default=0, init=False)

    def take(self, count: int, threads: Executor) -> list[tuple[Serial, PoolNumber | None]]:
        """So many free numbers. A pooled one is allotted only by the transaction that makes its card."""
        found: list[tuple[Serial, PoolNumber | None]] = []
        tries = 0
        while len(found) < count:
            wanted = list(self._next(count - len(found)))
            tries += len(wanted)
            if tries > count * TRIES_PER_NUMBER + NUMBER_LENGTH:
                raise NoNumbers(f"{self.side.name} does not tell which numbers are free")
            shown = threads.map(partial(look, self.side.lookup), [serial for serial, _ in wanted])
            for one, there in zip(wanted, shown, strict=True):
                if is_unused(there):
                    found.append(one)
                elif isinstance(there, Seen) and one[1] is not None:
                    self.pool.retire(one[1], self.clock())
        return found

    def _next(self, count: int) -> Iterator[tuple[Serial, PoolNumber | None]]:
        pooled = self.pool.free_after(self.side.name, self._after, count)
        for number in pooled:
            self._after = number.id
            yield number.serial, number
        missing = count - len(pooled)
        if missing and self.prefix is None:
            raise NoNumbers(
                f"the pool of numbers for {self.side.name} is empty; add some with "
                "`giftsync pool add FILE`, or set serial_prefix"
            )
        for _ in range(missing):
            prefix = self.prefix or ""
            yield Serial(prefix + self.random_digits(NUMBER_LENGTH - len(prefix))), None
