"""Builds what an import needs from the settings: rules, bounds, files, and the parts that carry it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import tzinfo
from decimal import Decimal
from pathlib import Path

from cli.build import FLOW, SHOPIFY, Ledger
from cli.errors import OperatorError
from config.settings import Settings
from connectors.api.bulk import Lister, MassCreator
from mappings.money import minor_from_decimal
from mappings.ranges import NumberRange
from mappings.serials import Serial
from sync.importer.actions import ImportContext
from sync.importer.files import AUTO, NOTHING_STATED, CardFile, Stated, layout_of, open_card_file
from sync.importer.numbers import Numbers
from sync.importer.sheets.formats import Field, Format, Role
from sync.importer.sheets.rows import FileCard, Terms
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


def lister_of(worker: Worker) -> Lister:
    """What lists the cards of the online side."""
    lister = worker.link.sides[SHOPIFY].abilities.lister
    if lister is None:
        raise OperatorError("the online side cannot list its cards")
    return lister


def creator_of(worker: Worker) -> MassCreator | None:
    """What makes many cards of the online side from one file, if it can."""
    return worker.link.sides[SHOPIFY].abilities.mass_creator


def ground_of(settings: Settings, worker: Worker) -> ImportContext:
    """What decides the fate of a card; asks the shop for its limit."""
    link = worker.link
    limit = lister_of(worker).creation_limit()
    return ImportContext(
        pos=FLOW,
        online=SHOPIFY,
        rules=link.rules,
        online_can=link.sides[SHOPIFY].capabilities,
        currency=link.currency,
        today=link.today,
        online_limit_minor=limit[0] if limit is not None and limit[1] == link.currency else None,
        card_limit_minor=_minor(settings.link.brakes.money_per_card, link.currency),
        lengthens=settings.link.lengthen_short_numbers,
        made=made_range(settings),
    )


def made_range(settings: Settings) -> NumberRange | None:
    """The numbers that giftsync makes itself; None when all come from the pool."""
    prefix = settings.link.shopify_serial_prefix
    return NumberRange("shopify_serial_prefix", prefix) if prefix else None


def _minor(amount: Decimal | None, currency: str) -> int | None:
    return None if amount is None else minor_from_decimal(f"{amount:f}", currency)


def import_link(settings: Settings, worker: Worker, imports: Imports, plan: Import) -> Link:
    """The link with the brakes of an import: as many cards as were planned, and a little more money."""
    left = imports.count_left(plan)
    cards = sum(count for count, _ in left.values())
    money = sum(minor for _, minor in left.values())
    per_card = _minor(settings.link.brakes.money_per_card, worker.link.currency)
    limits = BrakeLimits(
        # One card that was loaded in the meantime must not stop a small import.
        money_minor=round(money * MONEY_SLACK) + (per_card or money),
        cards=cards,
        card_money_minor=per_card,
        window_seconds=IMPORT_SECONDS,
    )
    return replace(worker.link, brake=Brake(limits, worker.link.currency))


def numbers_of(settings: Settings, worker: Worker, ledger: Ledger) -> Numbers:
    link = worker.link
    return Numbers(link.sides[FLOW], ledger.pool, settings.link.shopify_serial_prefix or None, link.clock)


def open_files(
    pos: Sequence[Path],
    pools: Sequence[Path],
    shopify: Sequence[Path],
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
    for path in shopify:
        files.append(_opened(path, None, Role.ONLINE, "--shopify", told, stated))
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
        right = {Role.POS: "--pos", Role.POOLS: "--pools", Role.ONLINE: "--shopify"}[file.role]
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
