"""`giftsync cards issue|print`: new cards, on paper or by mail, and a label for one that there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from cli.build import Ledger, mail_sender, now
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, plural
from cli.places import Places
from cli.reader import reader_of_settings
from cli.reading import reading_link
from cli.session import check_sides, load_settings, opened_worker
from config.settings import Settings
from mappings.money import format_money, minor_from_decimal
from mappings.readers import Reader
from mappings.serials import Serial, mask
from sync.authority.cards import CardNotAccepted, Cards, Issued, Wanted
from sync.authority.work import CardBusy, Hands, Terms
from sync.decisions.authority import Denied
from sync.handover.mail import BadTemplate, mail_of, template_of
from sync.handover.printed import NotPrintable, Printed, printers_file
from sync.ledger.database.private_files import write_private
from sync.ledger.hub.guesses import Guesses
from sync.ledger.hub.requests import KeyReused, Requests
from sync.ledger.secrets.vault import Vault
from sync.model import Caller, Card, InvariantBroken, LinkStopped

if TYPE_CHECKING:
    from sync.support.senders import MailSender
    from sync.worker.worker import Worker

#: In one batch; a printing house's order is made of several.
COUNT_MAX = 1_000
BATCH_MAX = 60
#: Who makes cards at the command line, among the callers of the hub.
CALLER = "cli"

Labels = Annotated[Path | None, typer.Option("--labels", help="Write labels of 62 x 40 mm (PDF).")]
Sheet = Annotated[Path | None, typer.Option("--sheet", help="Write sheets of A4 with ten cards each (PDF).")]
PrintersFile = Annotated[
    Path | None, typer.Option("--file", help="Write a line a card (CSV), for a printer.")
]


class IssuedAnswer(TypedDict):
    """Cards that were made; their numbers are in the files alone."""

    #: The same batch again makes no other cards.
    batch: str
    #: The last four of each.
    cards: list[str]
    wanted: int
    files: list[str]
    mailed: bool


class PrintedAnswer(TypedDict):
    """A card that was printed."""

    card: int
    file: str


def issue(
    amount: Annotated[str, typer.Argument(help="What each is worth, such as 500.00.")],
    count: Annotated[int, typer.Option(min=1, max=COUNT_MAX, help="How many.")] = 1,
    batch: Annotated[
        str | None,
        typer.Option(help="A name for it. Repeated within 90 days, the same cards are printed again."),
    ] = None,
    number: Annotated[
        str | None, typer.Option(help="Its number, for a single card; left out, one of the pool.")
    ] = None,
    brand: Annotated[str | None, typer.Option(help="The brand.")] = None,
    expires_on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day it is valid.")
    ] = None,
    cvc: Annotated[bool, typer.Option("--cvc", help="With a CVC, without which the API takes none.")] = False,
    label_file: Labels = None,
    sheet_file: Sheet = None,
    csv_file: PrintersFile = None,
    mail: Annotated[
        str | None, typer.Option(help="Send a single card to this address, in its brand's words.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make cards, worth money at once, and hand them over: labels, sheets, a printer's file, or a mail."""
    output = Output(as_json)
    settings = load_settings(config)
    named = _batch_name(batch)
    # Loaded by those who issue cards: mails are sent by few.
    from sync.support.senders import NotDelivered

    reader = reader_of_settings(settings)
    asked = _drawn(label_file, sheet_file, csv_file, reader)
    if count > 1 and (mail or number):
        raise OperatorError("--mail and --number are for a single card", "Leave --count out.")
    if not asked and mail is None:
        raise OperatorError(
            "nobody would learn the numbers of these cards",
            "Say where they go: --sheet, --labels or --file with a path, or --mail.",
        )
    sender = None if mail is None else _sender(settings, mail)
    day = _day(expires_on, settings)
    kind = _brand(settings, brand)
    try:
        with opened_worker(settings, threading.Event()) as (worker, ledger):
            check_sides(worker)
            currency = worker.link.currency
            wanted = Wanted(_minor(amount, currency), currency, number, day, kind, cvc)
            made, problem = _make(worker, ledger, wanted, named, count)
            printed = [_printed(settings, ledger.vault, one, wanted) for one in made]
        files = _write(printed, asked)
        mailed = _mail(printed, wanted, settings, sender, reader)
    except (NotPrintable, BadTemplate, NotDelivered) as error:
        raise OperatorError(
            str(error), f"The cards are made. Put that right and print them with the same --batch {named}."
        ) from None
    each = format_money(wanted.amount_minor, wanted.currency)
    output.say(f"{plural(len(made), 'card')} of {each} made, as batch {named}.")
    ends = [mask(one.serial.last_chars) for one in made]
    answer = IssuedAnswer(batch=named, cards=ends, wanted=count, files=files, mailed=mailed)
    _tell(answer, problem, output)
    code = ExitCode.FAILED if problem else ExitCode.IN_STEP
    output.emit("cards issue", answer, code)
    return code


def _batch_name(given: str | None) -> str:
    named = given or f"batch-{now():%Y%m%dT%H%M%S%f}"
    if not (named.isascii() and named.isprintable() and " " not in named and len(named) <= BATCH_MAX):
        raise OperatorError("that is no name for a batch", f"Up to {BATCH_MAX} letters, digits and signs.")
    return named


def _day(expires_on: datetime | None, settings: Settings) -> date | None:
    day = None if expires_on is None else expires_on.date()
    if day is not None and day < now().astimezone(settings.link.zone).date():
        raise OperatorError(f"{day} is over", "Give a day that is to come.")
    return day


def _mail(
    printed: Sequence[Printed],
    wanted: Wanted,
    settings: Settings,
    sender: MailSender | None,
    reader: Reader,
) -> bool:
    """Send the single card, if that was asked for; whether it was."""
    if not printed or sender is None:
        return False
    folder = settings.handover.mail_templates
    template = template_of(None if folder is None else Path(folder), wanted.brand)
    sender.deliver(mail_of(printed[0], template, wanted.brand, reader))
    return True


def _tell(answer: IssuedAnswer, problem: str, output: Output) -> None:
    """Where the cards are, and what is left of the batch."""
    for file in answer["files"]:
        output.say(f"{file} holds their numbers: whoever reads it can spend them.")
    if answer["mailed"]:
        output.say(f"A mail with the card {answer['cards'][0]} is sent.")
    output.say("`giftsync sync` or the worker makes them on the sides.")
    if problem:
        missing = answer["wanted"] - len(answer["cards"])
        output.say(f"{plural(missing, 'card')} could not be made: {problem}")
        output.say(f"Repeat the command with --batch {answer['batch']} to go on.")


def print_card(
    card: Annotated[int, typer.Option("--id", help="The card, as `cards find` shows it.")],
    label_file: Annotated[Path, typer.Option("--labels", help="The label of 62 x 40 mm (PDF) to write.")],
    side: Annotated[
        str | None,
        typer.Option(help="Print the number that it has on this side; needed where it has several."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a label for a card that there is, with its number and bar codes; never with a CVC."""
    output = Output(as_json)
    settings = load_settings(config)
    with reading_link(settings) as link:
        try:
            found = link.store.load(card)
        except InvariantBroken:
            raise OperatorError(f"there is no card {card}", "`giftsync cards list` shows the ids.") from None
        serial = number_of(found, side, Places.of(link.sides))
        brand = next((p.brand for p in found.presences if p.brand), None)
        printed = Printed(
            serial,
            _qr(settings, link.store.vault.card_ref(card)),
            found.balance_minor,
            found.currency,
            brand or settings.handover.title,
            found.expires_on,
        )
    try:
        (file,) = _write([printed], _drawn(label_file, None, None, reader_of_settings(settings)))
    except NotPrintable as error:
        raise OperatorError(str(error)) from None
    output.say(f"{file} is the label of {mask(serial.last_chars)}: whoever reads it can spend the card.")
    output.emit("cards print", PrintedAnswer(card=card, file=file))


def number_of(card: Card, side: str | None, places: Places) -> Serial:
    """The number to print: the card's, or that of one side. Raises OperatorError."""
    known = {p.side: p.serial for p in card.presences if p.serial is not None}
    if side is not None and side not in places.by_side:
        raise OperatorError(f"there is no side {side}", f"Say one of: {', '.join(places.by_side)}.")
    if not known or (side is not None and side not in known):
        where = "" if side is None else f" {places.at(side)}"
        raise OperatorError(
            f"only the owner of this card knows its number{where}, if it has one",
            "`giftsync cards assign` gives the card another.",
        )
    if side is None and len(set(known.values())) > 1:
        each = ", ".join(f"{mask(serial.last_chars)} {places.at(name)}" for name, serial in known.items())
        raise OperatorError(
            f"the card has several numbers: {each}", f"Say which with --side: {', '.join(known)}."
        )
    return known[side or next(iter(known))]


def _make(worker: Worker, ledger: Ledger, wanted: Wanted, batch: str, count: int) -> tuple[list[Issued], str]:
    """The cards of the batch, and why there are no more; a repeated batch finds those that it made."""
    hands = Hands(
        lambda: worker.link,
        Terms(),
        stopped=worker.why_stopped,
        wait=threading.Event().wait,
        on_brake=worker.tell_of_brake,
    )
    cards, requests = Cards(hands, ledger.pool, Guesses(ledger.engine)), Requests(ledger.engine)
    given = "" if wanted.number is None else wanted.number
    terms = [wanted.amount_minor, wanted.currency, given, wanted.expires_on, wanted.brand, wanted.with_cvc]
    fingerprint = ledger.vault.fingerprint(repr(terms), "issued batch")
    made: list[Issued] = []
    for place in range(1, count + 1):
        key = f"{batch}/{place}"
        try:
            requests.begin(CALLER, key, fingerprint, now())
            made.append(cards.issue(wanted, Caller(CALLER, reference=batch, key=key)))
        except KeyReused:
            raise OperatorError(
                f"the batch {batch} was made with another amount, day, brand or CVC", "Take another name."
            ) from None
        except Denied as denied:
            return made, denied.words
        except LinkStopped as stopped:
            return made, str(stopped)
        except (CardBusy, CardNotAccepted):
            return made, "another process is at work on the same numbers."
    return made, ""


def _printed(settings: Settings, vault: Vault, issued: Issued, wanted: Wanted) -> Printed:
    return Printed(
        issued.serial,
        _qr(settings, vault.card_ref(issued.card_id)),
        wanted.amount_minor,
        wanted.currency,
        wanted.brand or settings.handover.title,
        wanted.expires_on,
        issued.cvc,
    )


def _qr(settings: Settings, ref: str) -> str:
    """The balance page of the card where customers reach it, else its token. Never its number."""
    address = settings.console.public_url
    if address is None or not settings.handover.balance_page:
        return ref
    return f"{str(address).rstrip('/')}/balance/{ref}"


def _minor(amount: str, currency: str) -> int:
    try:
        found = minor_from_decimal(amount, currency)
    except ValueError as error:
        raise OperatorError(f"{amount} is no amount of {currency}", str(error)) from None
    if found <= 0:
        raise OperatorError("a card has to be worth something", "Give an amount, such as 500.00.")
    return found


def _brand(settings: Settings, name: str | None) -> str | None:
    """The brand as the settings spell it. Raises OperatorError for one that they do not name."""
    if name is None:
        return None
    sections = settings.sides.by_name().values()
    known = {brand.casefold(): brand for section in sections for brand in section.known_brands}
    known |= {brand.casefold(): brand for section in sections for brand in section.brand_names}
    if name.casefold() not in known:
        there = ", ".join(sorted(known.values())) or "none"
        raise OperatorError(f"there is no brand {name} in the settings", f"There are: {there}.")
    return known[name.casefold()]


def _sender(settings: Settings, to: str) -> MailSender:
    section = settings.notices
    if section.mail_from is None:
        raise OperatorError(
            "nobody is set as the sender of mails", "Set mail_from and the mail server in [notices]."
        )
    if "@" not in to or any(sign.isspace() or sign in ",;<>" for sign in to):
        raise OperatorError("that is no mail address", "For example: --mail kari@example.com.")
    return mail_sender(section, section.mail_from, to)


#: What is drawn of the cards into each file.
Drawn = dict[Path, Callable[[Sequence[Printed]], bytes]]


def _drawn(label_file: Path | None, sheet_file: Path | None, csv_file: Path | None, reader: Reader) -> Drawn:
    # Loaded by those who print: what draws takes half a second.
    from sync.handover.printing import labels, sheets

    asked = (
        (label_file, partial(labels, reader=reader)),
        (sheet_file, partial(sheets, reader=reader)),
        (csv_file, _csv),
    )
    return {path: draw for path, draw in asked if path is not None}


def _write(cards: Sequence[Printed], drawn: Drawn) -> list[str]:
    """The files that were asked for, whole or not at all, readable by their owner only."""
    if not cards:
        return []
    written = []
    for path, draw in drawn.items():
        try:
            write_private(path, draw(cards))
        except OSError as error:
            raise NotPrintable(f"{path} cannot be written: {error.strerror}") from None
        written.append(str(path))
    return written


def _csv(cards: Sequence[Printed]) -> bytes:
    return printers_file(cards).encode()
