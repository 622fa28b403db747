"""Builds what an import needs from the settings: rules, bounds, files, and the parts that carry it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from decimal import Decimal
from functools import partial
from pathlib import Path

from cli.build import Ledger
from cli.errors import OperatorError
from config.settings import Settings
from connectors.api.bulk import Lister, MassCreator
from connectors.api.side import Side
from mappings.money import minor_from_decimal
from mappings.ranges import NumberRange
from mappings.serials import Serial
from sync.importer.actions import ImportContext
from sync.importer.apply import THREADS, Importer
from sync.importer.files import AUTO, NOTHING_STATED, CardFile, Stated, layout_of, open_card_file
from sync.importer.numbers import Numbers
from sync.importer.progress import StopSignal
from sync.importer.sheets.formats import Field, Format, Role
from sync.importer.sheets.rows import FileCard, Terms
from sync.importer.turns import QueuedImports
from sync.ledger.imports.rows import Import, Imports
from sync.ledger.secrets.vault import Vault
from sync.reconcile.brakes import Brake, BrakeLimits
from sync.reconcile.work import Link
from sync.worker.worker import Worker

#: How much more money than planned an import may move, because cards were loaded in the meantime.
MONEY_SLACK = 1.1
#: An import lasts longer than an hour; its bounds are for all of it.
IMPORT_SECONDS = 30 * 86_400.0


def imports_of(ledger: Ledger) -> Imports:
    return Imports(ledger.engine, ledger.vault)


@dataclass(frozen=True)
class ImportSides:
    """The two sides that an import brings into step; others get the cards when the link works on them."""

    #: Whose cards stand in files by their numbers.
    pos: str
    #: Who lists its cards itself.
    online: str


def import_sides(sides: Mapping[str, Side], pos: str | None, online: str | None) -> ImportSides:
    """The sides that are named, or the only ones that can be meant. Raises OperatorError."""
    for option, name in (("--pos-side", pos), ("--online-side", online)):
        if name is not None and name not in sides:
            raise OperatorError(f"{option}: there is no side {name}", f"There are: {', '.join(sides)}.")
    listing = [name for name, side in sides.items() if side.abilities.lister is not None and name != pos]
    online = online or _only(listing, "lists its cards", "--online-side")
    if sides[online].abilities.lister is None:
        raise OperatorError(f"the side {online} cannot list its cards")
    numbered = [n for n, side in sides.items() if not side.capabilities.hides_serials and n != online]
    return ImportSides(pos or _only(numbered, "has cards with numbers", "--pos-side"), online)


def sides_of(plan: Import) -> ImportSides:
    """The sides that a plan was made for."""
    # A database keeps no order of keys.
    pos, online = sorted(plan.before, key=lambda name: plan.before[name]["lists"])
    return ImportSides(pos, online)


def _only(found: Sequence[str], what: str, option: str) -> str:
    if not found:
        raise OperatorError(f"no side of this link {what}")
    if len(found) > 1:
        raise OperatorError(
            f"more than one side {what}: {', '.join(found)}", f"Say which is meant with {option}."
        )
    return found[0]


def lister_of(worker: Worker, sides: ImportSides) -> Lister:
    """What lists the cards of the online side."""
    lister = worker.link.sides[sides.online].abilities.lister
    if lister is None:
        raise OperatorError(f"the side {sides.online} cannot list its cards")
    return lister


def creator_of(worker: Worker, sides: ImportSides) -> MassCreator | None:
    """What makes many cards of the online side from one file, if it can."""
    return worker.link.sides[sides.online].abilities.mass_creator


def context_of(settings: Settings, worker: Worker, sides: ImportSides) -> ImportContext:
    """What decides the fate of a card; asks the online side for its limit."""
    link = worker.link
    limit = lister_of(worker, sides).creation_limit()
    return ImportContext(
        pos=sides.pos,
        online=sides.online,
        rules=link.rules,
        online_can=link.sides[sides.online].capabilities,
        currency=link.currency,
        today=link.today,
        online_limit_minor=limit[0] if limit is not None and limit[1] == link.currency else None,
        card_limit_minor=_minor(settings.link.brakes.money_per_card, link.currency),
        made=made_range(settings, sides.pos),
    )


def made_range(settings: Settings, side: str) -> NumberRange | None:
    """The numbers that giftsync makes itself for the side; None when all come from the pool."""
    prefix = settings.sides.by_name()[side].serial_prefix
    return NumberRange("serial_prefix", prefix) if prefix else None


def _minor(amount: Decimal | None, currency: str) -> int | None:
    return None if amount is None else minor_from_decimal(f"{amount:f}", currency)


def import_link(settings: Settings, worker: Worker, imports: Imports, plan: Import) -> Link:
    """The link with the brakes of an import: as many cards as were planned, and a little more money.

    What its earlier turns have moved counts.
    """
    left = imports.count_left(plan)
    cards = sum(count for count, _ in left.values())
    money = sum(minor for _, minor in left.values())
    per_card = _minor(settings.link.brakes.money_per_card, worker.link.currency)
    limits = BrakeLimits(
        # One card that was loaded in the meantime must not stop a small import.
        money_minor=(
            round(money * MONEY_SLACK) + (per_card or money)
            if plan.money_left_minor is None
            else plan.money_left_minor
        ),
        cards=cards,
        card_money_minor=per_card,
        window_seconds=IMPORT_SECONDS,
    )
    return replace(worker.link, brake=Brake(limits, worker.link.currency))


@dataclass(frozen=True)
class Importers:
    """Makes what carries out a plan of the link, beside a worker or as one."""

    settings: Settings
    worker: Worker
    ledger: Ledger
    #: By the sides of a plan: to make one asks the online side for its limit.
    _contexts: dict[ImportSides, ImportContext] = field(default_factory=dict, init=False)

    def importer_of(self, plan: Import, halt: StopSignal, threads: int = THREADS) -> Importer:
        """Asks the online side for its limit, at first."""
        sides, imports = sides_of(plan), imports_of(self.ledger)
        if sides not in self._contexts:
            self._contexts[sides] = context_of(self.settings, self.worker, sides)
        link = import_link(self.settings, self.worker, imports, plan)
        return Importer(
            link,
            imports,
            self.ledger.intake,
            replace(self._contexts[sides], rules=link.rules, today=link.today),
            numbers_of(self.worker, self.ledger, sides),
            lister_of(self.worker, sides),
            creator_of(self.worker, sides),
            threads=threads,
            alone=False,
            halt=halt,
        )


def queued_imports(settings: Settings, worker: Worker, ledger: Ledger) -> QueuedImports:
    """What has the worker carry on the imports that were queued."""
    make = partial(Importers(settings, worker, ledger).importer_of, threads=worker.options.threads)
    return QueuedImports(imports_of(ledger), lambda: worker.link, make)


def numbers_of(worker: Worker, ledger: Ledger, sides: ImportSides) -> Numbers:
    link = worker.link
    return Numbers(link.sides[sides.pos], ledger.pool, link.rules.sides[sides.pos].serial_prefix, link.clock)


def open_files(
    pos: Sequence[Path],
    pools: Sequence[Path],
    online: Sequence[Path],
    layout: str,
    told: Callable[[str, int], None],
    stated: Stated = NOTHING_STATED,
) -> list[CardFile]:
    """Look through every file. Raises FileProblem, or OperatorError for one that is of another kind."""
    chosen = layout_of(layout)
    files = []
    for path in pos:
        files.append(_opened(path, chosen, Role.POS, "--pos", told, stated))
    for path in pools:
        files.append(_opened(path, None, Role.POOLS, "--pools", told, stated))
    for path in online:
        files.append(_opened(path, None, Role.ONLINE, "--online", told, stated))
    names = [file.name for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OperatorError(f"two files are called {twice}", "Give each file once, and each another name.")
    return files


def _opened(
    path: Path,
    layout: Format | None,
    role: Role,
    option: str,
    told: Callable[[str, int], None],
    stated: Stated,
) -> CardFile:
    file = open_card_file(path, layout, lambda rows: told(path.name, rows), stated)
    if file.role is not role:
        right = {Role.POS: "--pos", Role.POOLS: "--pools", Role.ONLINE: "--online"}[file.role]
        raise OperatorError(
            f"{path} has the layout {file.habits.layout.name}, which is not what {option} is for",
            f"Give it with {right}, or name its layout with --format.",
        )
    file.check_columns()
    return file


def cvc_source(
    paths: Sequence[Path], vault: Vault, currency: str, zone: tzinfo
) -> Callable[[Serial], str | None] | None:
    """CVCs from card files, in memory for as long as this process runs; never stored."""
    if not paths:
        return None
    found: dict[str, str] = {}
    for path in paths:
        file = open_card_file(path, layout_of(AUTO))
        if Field.CVC not in file.habits.columns:
            raise OperatorError(f"{path} has no column of CVCs")
        for card in file.cards(Terms(currency, zone)):
            if isinstance(card, FileCard) and card.cvc is not None:
                found[vault.index(card.serial)] = card.cvc
    return lambda serial: found.get(vault.index(serial))
