"""An import to test with: sides in memory, a file of cards, and a side that makes many cards at once."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from connectors.api.bulk import LineOutcome, Listed, MassState, Pace
from connectors.api.effect import Applied, Effect, no_save
from connectors.api.errors import InDoubt, SideError
from connectors.memory import MemorySide
from sync.importer.actions import ImportContext
from sync.importer.apply import Importer, Mode
from sync.importer.files import open_card_file
from sync.importer.numbers import Numbers
from sync.importer.plan import Planner
from sync.importer.planfile import choose_rows, write_plan
from sync.importer.progress import ImportProgress
from sync.ledger.imports.rows import Import, Imports, Row
from sync.reconcile.brakes import Brake, BrakeLimits
from tests.integration.shop import FLOW, SHOPIFY, Shop

#: A store card's number, by its place.
N = "10002000300040{:02d}"


@dataclass
class MemoryMass:
    """Lists a memory side's cards and makes many from one file; loses what a test tells it to lose."""

    side: MemorySide
    #: Lines that are never run, and lines that are run and not told of.
    never: set[int] = field(default_factory=set)
    untold: set[int] = field(default_factory=set)
    #: Whether the answer to the next start is lost, and whether it starts then.
    lose_start: bool = False
    starts_though_lost: bool = True
    #: Lines whose outcome is told of another line.
    swapped: bool = False
    files: dict[str, Sequence[Effect]] = field(default_factory=dict)
    started: dict[str, str] = field(default_factory=dict)
    results: dict[str, list[LineOutcome]] = field(default_factory=dict)
    lines_max: int = 100

    def list_cards(self, on_progress: Callable[[int], None]) -> Iterator[Listed]:
        for card in list(self.side.cards.values()):
            yield Listed(replace(self.side._seen(card, False), serial=None), card.sold_here)

    def details_of(self, native_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        return {
            native_id: {"order": "#1", "order_id": "order/1", "shipping_name": "Kari"}
            for native_id in native_ids
            if self.side.cards[native_id].sold_here
        }

    def creation_limit(self) -> tuple[int, str] | None:
        return 1_000_000, "NOK"

    def pace(self) -> Pace:
        return Pace(10, 100, 0)

    def upload(self, effects: Sequence[Effect]) -> str:
        path = f"file-{len(self.files)}"
        self.files[path] = effects
        return path

    def start(self, tag: str, path: str) -> str:
        lost, self.lose_start = self.lose_start, False
        if lost and not self.starts_though_lost:
            raise InDoubt("no answer")
        operation = self.started[tag] = f"operation-{len(self.started)}"
        outcomes = [
            self._line(line, effect) for line, effect in enumerate(self.files[path]) if line not in self.never
        ]
        told = [one for one in outcomes if one.line not in self.untold]
        if self.swapped:
            told = [replace(one, line=other.line) for one, other in zip(told, reversed(told), strict=True)]
        self.results[operation] = list(reversed(told))
        if lost:
            raise InDoubt("no answer")
        return operation

    def _line(self, line: int, effect: Effect) -> LineOutcome:
        try:
            made = self.side.apply(effect, no_save)
        except SideError as error:
            return LineOutcome(line, None, error)
        return LineOutcome(line, effect.marker, Applied(made.native_id))

    def find_started(self, tag: str) -> str | None:
        return self.started.get(tag)

    def state(self, operation: str) -> MassState:
        return MassState(len(self.results[operation]), True)

    def outcomes(self, operation: str) -> Iterator[LineOutcome]:
        yield from self.results[operation]


class Desk:
    """A shop, and somebody who imports."""

    def __init__(self, shop: Shop, folder: Path, **context: object) -> None:
        self.shop, self.folder = shop, folder
        self.imports = Imports(shop.engine, shop.vault)
        self.mass = MemoryMass(shop.sides[SHOPIFY])
        self.context = replace(
            ImportContext(
                FLOW,
                SHOPIFY,
                shop.link.rules,
                shop.sides[SHOPIFY].capabilities,
                "NOK",
                shop.clock().date(),
            ),
            **context,  # type: ignore[arg-type]
        )
        self.progress = ImportProgress()
        self.prefix: str | None = "9900"
        self.numbers_made = 0

    @property
    def path(self) -> Path:
        return self.folder / "plan.csv"

    def write(self, *rows: str, head: str = "number;balance;status", name: str = "cards.csv") -> Path:
        path = self.folder / name
        path.write_text("\n".join([head, *rows]) + "\n")
        return path

    def fill(self, store: int, online: int) -> Import:
        """Store cards of 1.00, 2.00, …, online cards of 10.00 each, and a plan for them."""
        for n in range(1, store + 1):
            self.shop.sell(FLOW, n * 100, N.format(n))
        for n in range(online):
            self.shop.sell(SHOPIFY, 1_000, f"aaaabbbbccccdd{n:02d}")
        return self.plan(self.write(*(f"{N.format(n)};{n},00;ACTIVE" for n in range(1, store + 1))))

    def plan(self, *files: Path, ask_pos: bool = False) -> Import:
        planner = Planner(self.shop.link, self.imports, self.context)
        made, _ = planner.plan([open_card_file(path, None) for path in files], self.mass, ask_pos=ask_pos)
        write_plan(self.path, self.imports, made)
        return made

    def rows(self, plan: Import) -> list[Row]:
        return list(self.imports.rows(plan))

    def actions(self, plan: Import) -> list[tuple[str, str]]:
        """Last four and action of each row, by row."""
        return [(row.last_chars, row.action) for row in self.rows(plan)]

    def words(self, plan: Import) -> list[str]:
        return [row.outcome for row in self.rows(plan)]

    def take_out(self, keep: Callable[[dict[str, str]], bool]) -> None:
        """A person deletes lines of the plan."""
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lines, names = [row for row in reader if keep(row)], reader.fieldnames or []
        with self.path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, delimiter=";")
            writer.writeheader()
            writer.writerows(lines)

    def importer(
        self, mode: Mode = Mode.LIVE, limit: int | None = None, brake: BrakeLimits | None = None
    ) -> Importer:
        self.progress = ImportProgress()
        link = self.shop.link if brake is None else replace(self.shop.link, brake=Brake(brake, "NOK"))
        return Importer(
            link,
            self.imports,
            self.shop.intake,
            self.context,
            Numbers(self.shop.sides[FLOW], self.shop.pool, self.prefix, self.shop.clock, self._digits),
            self.mass,
            self.mass,
            mode,
            threads=4,
            limit=limit,
            progress=self.progress,
            pause=lambda seconds: _ignore(self.shop.clock.advance(max(seconds, 0.01))),
        )

    def _digits(self, count: int) -> str:
        self.numbers_made += 1
        return str(self.numbers_made).zfill(count)

    def apply(self, plan: Import, mode: Mode = Mode.LIVE, limit: int | None = None) -> bool:
        choose_rows(self.path, self.imports, plan)
        return self.importer(mode, limit).apply(plan)

    def in_step(self) -> bool:
        """Every card of the hub is the same everywhere and waits for nothing."""
        cards = [self.shop.card(row["id"]) for row in self.shop.rows("cards")]
        return all(card.in_step for card in cards)

    def totals(self) -> tuple[int, int]:
        sides = self.shop.sides
        return tuple(sum(c.balance_minor for c in sides[name].cards.values()) for name in (FLOW, SHOPIFY))  # type: ignore[return-value]


def _ignore(_: object) -> None:
    return
