"""`giftsync links add|list|pause|resume|move|rotate|export|erase`: a fleet of many links."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypedDict

import typer

from cli import fleet_erase, fleet_export, fleet_move
from cli.errors import OperatorError
from cli.fleet import FLEET_DEFAULT, Fleet, FleetLink
from cli.fleet_erase import Owed
from cli.fleet_list import FleetReader, LinkRow
from cli.fleet_move import Moved
from cli.options import JsonOption
from cli.output import ExitCode, Output, number, plural, rows, table
from cli.pausing import pause_link, resume_link
from cli.session import load_settings
from mappings.money import format_money
from sync.ledger.archive import is_archive

app = typer.Typer(help="Many links, each with its own settings, key and ledger.", no_args_is_help=True)

FleetOption = Annotated[
    Path, typer.Option("--fleet", metavar="FOLDER", help="The folder with a folder for each link.")
]
NameArgument = Annotated[str, typer.Argument(metavar="LINK", help="The link; `giftsync links list` has all.")]


class AddedLinkAnswer(TypedDict):
    """A link that was just made."""

    link: str
    #: Its settings.
    config: Path
    #: Rows of the ledger that were read from an export; 0: its ledger is new.
    rows: int


class MovedLinkAnswer(TypedDict):
    """A link whose ledger is in another place now, or where it was if the move was given up."""

    link: str
    #: Where the ledger is, without a password.
    ledger: str
    #: Rows that were copied and compared.
    rows: int
    #: What the proof of the copy finds; the old ledger has the same.
    findings: list[str]


class RotatedLinkAnswer(TypedDict):
    """A link that has a new key, or its old one if that was given up."""

    link: str
    #: Where the ledger is, without a password.
    ledger: str
    #: The file with the key that is in use.
    key: Path
    #: Rows that were written under the new key; 0: it was given up.
    rows: int
    #: What the proof of the new ledger finds; the old one has the same.
    findings: list[str]


class ExportedLinkAnswer(TypedDict):
    """A file with a link's whole data."""

    link: str
    file: Path
    rows: int
    bytes: int


class ErasedLinkAnswer(TypedDict):
    """A link that is gone."""

    link: str
    #: Cards that it kept in step; they stay on its sides.
    cards: int
    #: What is on them, by currency, in minor units.
    owed_minor: Mapping[str, int]


class LinksAnswer(TypedDict):
    """Every link of the fleet."""

    links: list[LinkRow]


class PausedLinkAnswer(TypedDict):
    """A link that is paused."""

    link: str
    #: Why nothing is written now, in words.
    stopped_by: list[str]


class ResumedLinkAnswer(TypedDict):
    """A link that goes on."""

    link: str
    #: Stops that ended: brakes and a pause.
    released: int


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="LINK", help="A name, such as the merchant's.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Settings to copy, or an export to restore; else a file to fill in is written.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With an export: the key file of the link it was made of."),
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Keep the ledger there, in its own schema; else in a file."),
    ] = None,
    fleet: FleetOption = FLEET_DEFAULT,
    as_json: JsonOption = False,
) -> int:
    """Make a link. Nothing is asked of its sides."""
    output = Output(as_json)
    if source is not None and is_archive(source):
        return _restore(Fleet(fleet), name, source, key, postgres, output)
    if key is not None:
        raise OperatorError("--key goes with an export", "A new link gets a key of its own.")
    if source is not None:
        # From here on its secrets are hidden.
        load_settings(source)
    made = Fleet(fleet).add(name, source, postgres)
    todo = "" if source is not None else "Fill in the empty keys. "
    output.say(f"Made the link {made.name}. {todo}`giftsync doctor --config {made.config}` checks it.")
    output.emit("links add", AddedLinkAnswer(link=made.name, config=made.config, rows=0))
    return ExitCode.IN_STEP


def _restore(
    fleet: Fleet, name: str, file: Path, key: Path | None, postgres: str | None, output: Output
) -> int:
    if key is None:
        raise OperatorError(f"{file} is sealed with the key of its link", "Name the key file: --key FILE.")
    made, carried = fleet_export.restore_link(fleet, name, file, key, postgres, output.say)
    output.say(f"Made the link {name} of the export of {carried.link}.")
    _show_proof(output, carried.cards, carried.findings)
    output.say(
        "Stop the link that the export was made of before this one works. "
        f"`giftsync recover --config {made.config}` reads back what it did since."
    )
    code = ExitCode.FAILED if carried.findings else ExitCode.IN_STEP
    output.emit("links add", AddedLinkAnswer(link=name, config=made.config, rows=carried.rows), code)
    return code


@app.command("list")
def list_links(fleet: FleetOption = FLEET_DEFAULT, as_json: JsonOption = False) -> int:
    """The standing of every link. What is wrong with one does not hide the others."""
    output = Output(as_json)
    with FleetReader() as reader:
        found = [reader.row(link) for link in Fleet(fleet).links()]
    if not found:
        output.say(f"There is no link in {fleet} yet; `giftsync links add` makes one.")
    else:
        lines = [
            (
                row["link"],
                row["state"],
                number(row["cards"]),
                number(row["in_step"]),
                number(row["conflicts"]),
                row["words"],
            )
            for row in found
        ]
        heads = ("Link", "State", "Cards", "In step", "Conflicts", "")
        output.show(rows(table(*heads, right=("Cards", "In step", "Conflicts")), lines))
    code = _code(found)
    output.emit("links list", LinksAnswer(links=found), code)
    return code


@app.command()
def pause(
    name: NameArgument,
    why: Annotated[str, typer.Option(help="Shown to whoever asks for the link's standing.")],
    fleet: FleetOption = FLEET_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Write nothing more to the link's sides until it is resumed. What happens there is still read."""
    output = Output(as_json)
    settings = load_settings(Fleet(fleet).link(name).config)
    stopped = pause_link(settings, why, output, f"`giftsync links resume {name}`")
    output.emit("links pause", PausedLinkAnswer(link=name, stopped_by=stopped))


@app.command()
def resume(
    name: NameArgument,
    why: Annotated[str, typer.Option(help="What you found; it is kept with the conflict.")],
    fleet: FleetOption = FLEET_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Let a link go on that a brake has stopped or a person has paused."""
    output = Output(as_json)
    released = resume_link(load_settings(Fleet(fleet).link(name).config), why, output)
    output.emit("links resume", ResumedLinkAnswer(link=name, released=released))


@app.command()
def move(
    name: NameArgument,
    postgres: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Move the ledger there, into its own schema."),
    ] = None,
    file: Annotated[bool, typer.Option("--file", help="Move the ledger into a file in its folder.")] = False,
    give_up: Annotated[
        bool, typer.Option("--undo", help="Give up a move that is under way: the old ledger goes on.")
    ] = False,
    fleet: FleetOption = FLEET_DEFAULT,
    as_json: JsonOption = False,
) -> int:
    """Move a link's ledger to another database. The old one stays as it is and is never written again.

    After a crash the same command goes on.
    """
    output = Output(as_json)
    link = _link(fleet, name)
    if give_up:
        fleet_move.undo(link)
        output.say(f"The move was given up: the link {name} goes on where it was.")
        output.emit("links move", MovedLinkAnswer(link=name, ledger=link.ledger or "", rows=0, findings=[]))
        return ExitCode.IN_STEP
    to = fleet_move.target_of(link, postgres, file=file)
    moved = fleet_move.move(Fleet(fleet), link, to, output.say)
    output.say(
        f"The ledger of {name} is in {moved.is_in}. The old one, {moved.came_from}, is kept as it was."
    )
    answer = MovedLinkAnswer(link=name, ledger=moved.is_in, rows=moved.rows, findings=list(moved.findings))
    return _end(output, "links move", moved, answer)


@app.command()
def rotate(
    name: NameArgument,
    give_up: Annotated[
        bool, typer.Option("--undo", help="Give up a rotation that is under way: the old key goes on.")
    ] = False,
    fleet: FleetOption = FLEET_DEFAULT,
    as_json: JsonOption = False,
) -> int:
    """Give a link a new key: its ledger is written anew under it, beside the old one, which stays as it is.

    After a crash the same command goes on.
    """
    output = Output(as_json)
    link = _link(fleet, name)
    if give_up:
        fleet_move.undo(link)
        output.say(f"The rotation was given up: the link {name} goes on with its old key.")
        output.emit("links rotate", _rotated(link, 0, ()))
        return ExitCode.IN_STEP
    to, old_key = fleet_move.target_beside(link), link.key
    moved = fleet_move.move(Fleet(fleet), link, to, output.say, new_key=True)
    output.say(f"The ledger of {name} is in {moved.is_in}, under the key in {link.key}.")
    code = _end(output, "links rotate", moved, _rotated(link, moved.rows, moved.findings))
    output.say(
        "Keep a copy of that file where the old one was kept. The old key opens the old ledger: destroy "
        f"both once no export or backup needs them ({old_key}, {moved.came_from})."
    )
    return code


def _link(fleet: Path, name: str) -> FleetLink:
    """The link; from here on its secrets are hidden."""
    link = Fleet(fleet).link(name)
    load_settings(link.config)
    return link


def _rotated(link: FleetLink, rows: int, findings: Sequence[str]) -> RotatedLinkAnswer:
    return RotatedLinkAnswer(
        link=link.name,
        ledger=link.ledger or "",
        key=link.key or Path(),
        rows=rows,
        findings=list(findings),
    )


def _end(output: Output, command: str, moved: Moved, answer: Mapping[str, object]) -> ExitCode:
    """Say what the proof of the new ledger finds, and answer."""
    _show_proof(output, moved.cards, moved.findings)
    code = ExitCode.FAILED if moved.findings else ExitCode.IN_STEP
    output.emit(command, answer, code)
    return code


@app.command()
def export(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; it is made with mode 0600.")],
    fleet: FleetOption = FLEET_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Write a link's whole data into a file that opens with its key only. A worker may go on meanwhile."""
    output = Output(as_json)
    link = _link(fleet, name)
    made = fleet_export.export_link(link, file)
    output.say(f"{made.rows:,} rows and the settings of {name} are in {file} ({made.bytes:,} bytes).")
    output.say(f"It opens with the key of the link only ({link.key}); keep that apart from it.")
    output.emit("links export", ExportedLinkAnswer(link=name, file=file, rows=made.rows, bytes=made.bytes))


@app.command()
def erase(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the name again.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even while effects are under way.")] = False,
    fleet: FleetOption = FLEET_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Destroy a link's key, ledger and settings for good. The cards on its sides stay as they are."""
    output = Output(as_json)
    links = Fleet(fleet)
    left = fleet_erase.Owed(0, {}, 0, 0)
    if fleet_erase.half_erased(links, name) is not None and not (links.folder / name).exists():
        # It was agreed to before it was cut short.
        fleet_erase.finish(links, name)
    else:
        link = links.link(name)
        load_settings(link.config)
        if fleet_erase.has_ledger(link):
            left = fleet_erase.owed(link)
            _agree_to_erase(output, name, left, yes=yes, force=force)
        elif not yes:
            _ask_for_name(name)
        fleet_erase.erase(links, link)
    output.say(f"The link {name} is erased: its key, ledger and settings are gone.")
    output.emit(
        "links erase", ErasedLinkAnswer(link=name, cards=left.cards, owed_minor=dict(left.balance_minor))
    )


def _agree_to_erase(output: Output, name: str, left: Owed, *, yes: bool, force: bool) -> None:
    """Say what remains owed, and have the name typed. Raises OperatorError without that."""
    money = ", ".join(format_money(minor, currency) for currency, minor in left.balance_minor.items())
    output.note(
        f"{plural(left.cards, 'card')} of {name} with {money or 'nothing'} on them stay on the sides: "
        "that is still owed to customers, and giftsync keeps them in step no more."
    )
    if left.open_conflicts:
        output.note(f"{plural(left.open_conflicts, 'conflict')} will never be settled.")
    if left.open_intents and not force:
        raise OperatorError(
            f"{name} has open intents: {left.open_intents}. Money would be in one place only",
            "Let `giftsync sync` finish them, or settle the conflicts; --force erases all the same.",
        )
    if not yes:
        _ask_for_name(name)


def _ask_for_name(name: str) -> None:
    if not sys.stdin.isatty():
        raise OperatorError(f"{name} would be erased for good", "Nothing was done. Say --yes to erase it.")
    if typer.prompt(f"Type the name of the link to erase it for good ({name})", err=True) != name:
        raise typer.Abort


def _show_proof(output: Output, cards: int, findings: Sequence[str]) -> None:
    """What the proof of a ledger that was copied says."""
    if not findings:
        output.say(f"Its chain was verified: {plural(cards, 'card')}, nothing to find.")
        return
    output.note("error: the proof finds what it would have found before, too:")
    for words in fleet_move.findings_words(findings):
        output.note(f"  {words}")


def _code(found: list[LinkRow]) -> ExitCode:
    if any(row["state"] in ("unusable", "stopped") for row in found):
        return ExitCode.FAILED
    return ExitCode.CONFLICTS if any(row["conflicts"] for row in found) else ExitCode.IN_STEP
