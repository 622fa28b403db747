"""The settings of a link as its console shows and changes them.

A change is checked as the file would be with it, tried in a dry run, and written in one step: whoever looks
finds the old file or the new one, with its comments. Then the worker begins anew with it.
"""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, get_args

import structlog

from cli.build import Ledger, build_context, link_rules, open_sides, webhook_url
from cli.checkup import examine
from cli.dry_run import Outcome, rehearse
from cli.errors import OperatorError, explain
from cli.pool_file import add_to_pool, brands_of_side, numbered, read_pool_file
from cli.session import opened_sides
from config.edit import Value, edit
from config.errors import ConfigError
from config.keys import Key, find_key, tables
from config.load import load_text, overridden
from config.settings import Settings
from connectors import registry
from connectors.api.commands import ConfiguredSide
from connectors.api.connecting import Connection
from connectors.api.settings import SideSection
from console.link_settings import (
    Change,
    Checkup,
    Creates,
    Draft,
    Found,
    Group,
    Kind,
    Refill,
    Setting,
    Trial,
    Unfit,
    Would,
)
from mappings.sentences import in_a_row, say
from sync.arrivals.missing import agree, newly_created_on
from sync.importer.problem import FileProblem
from sync.ledger.cards.lacking import lacking
from sync.ledger.cards.pool import LOW_WATER
from sync.ledger.database.private_files import write_private
from sync.model import LinkRules
from sync.support import pausing, settle
from sync.worker.worker import Worker

log = structlog.get_logger(__name__)

DRAFTS_MAX = 20
#: A shop of many cards takes longer to read; what was found by then is shown.
TRIAL_MINUTES_MAX = 10
TRIAL_SECONDS_MAX = TRIAL_MINUTES_MAX * 60.0
ASKED_SHOWN = 10
#: What a merchant decides; where systems are and who lets giftsync in is for whoever runs it.
_LINK_KEYS = (
    "first_contact",
    "deactivation",
    "overdraft",
    "brakes.money_per_hour",
    "brakes.money_per_card",
    "brakes.cards_per_hour",
)
_SIDE_KEYS = (
    "create_update",
    "download",
    "send_notifications",
    "serial_prefix",
    "lengthen_short_numbers",
    "excluded_brands",
    "directions.balance",
    "directions.status",
    "directions.expiry",
)


@dataclass
class LinkDesk:
    """See `console.link_settings.SettingsDesk`. Safe from any thread."""

    settings: Settings
    #: None: there is no file to write, and changes can only be tried.
    file: Path | None
    worker: Worker
    ledger: Ledger
    #: Has the worker begin anew with the file; None: somebody does that by hand.
    restart: Callable[[], None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    checkup: Checkup | None = None
    _drafts: dict[str, Draft] = field(default_factory=dict)
    _texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    _stops: dict[str, threading.Event] = field(default_factory=dict)
    _attempts: dict[str, tuple[str, Connection]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def restarts(self) -> bool:
        return self.restart is not None

    def close(self) -> None:
        """End what is under way."""
        self.stop.set()
        for draft in list(self._drafts):
            self.drop(draft)

    # --- what there is --------------------------------------------------------------------------------------

    def groups(self) -> Sequence[Group]:
        return self._groups(self._now()[0])

    def _groups(self, settings: Settings) -> Sequence[Group]:
        pinned = overridden(settings)
        found = [self._group(settings, "", _LINK_KEYS, ("link",), pinned)]
        for name, section in settings.sides.by_name().items():
            own = registry.connector_type(section.connector).merchant_keys
            found.append(self._group(settings, name, (*_SIDE_KEYS, *own), ("sides", name), pinned))
        return found

    def _now(self) -> tuple[Settings, str]:
        """The settings and text of the file as it is now; where it is broken, the settings of the start."""
        if self.file is None:
            return self.settings, ""
        try:
            text = _text_of(self.file)
            return load_text(text, self.file), text
        except (OSError, UnicodeDecodeError, ConfigError):
            return self.settings, ""

    def _group(
        self,
        settings: Settings,
        side: str,
        names: Sequence[str],
        root: tuple[str, ...],
        pinned: frozenset[tuple[str, ...]],
    ) -> Group:
        mine = [
            _setting(settings, (*root, *name.split(".")), pinned)
            for name in names
            if find_key(type(settings), (*root, *name.split("."))) is not None
        ]
        shown = {one.path for one in mine}
        others = [
            (key.name, _shown(settings, key))
            for table in tables(type(settings))
            if table.name == root
            for key in table.keys
            if ".".join(key.path) not in shown and not key.name.endswith("_file")
        ]
        return Group(side, tuple(mine), tuple(one for one in others if one[1]))

    # --- a change -------------------------------------------------------------------------------------------

    def draft(self, values: Mapping[str, str], by: str) -> Draft:
        settings, text = self._now()
        known = {one.path: one for group in self._groups(settings) for one in group.settings}
        changes = tuple(
            Change(one, values[path].strip())
            for path, one in known.items()
            if path in values and not one.pinned_by and values[path].strip() != one.value
        )
        if not changes:
            raise Unfit([say("Nothing was changed.")])
        if not text or self.file is None:
            raise Unfit([say("The settings file cannot be read; mend it first: `giftsync config check`.")])
        parsed = {tuple(one.setting.path.split(".")): _value(settings, one) for one in changes}
        try:
            edited = edit(text, parsed)
            candidate = load_text(edited, self.file)
            created = self._creates(_rules_of(candidate))
        except ConfigError as error:
            raise Unfit(list(error.problems)) from None
        made, stop = Draft(secrets.token_hex(8), by, changes, Trial(), created), threading.Event()
        with self._lock:
            while len(self._drafts) >= DRAFTS_MAX:
                self.drop(next(iter(self._drafts)))
            self._drafts[made.id] = made
            self._texts[made.id] = (text, edited)
            self._stops[made.id] = stop
        self._begin("trial", lambda: self._try(candidate, made.trial, stop))
        return made

    def drafted(self, draft: str) -> Draft | None:
        return self._drafts.get(draft)

    def drop(self, draft: str) -> None:
        with self._lock:
            self._drafts.pop(draft, None)
            self._texts.pop(draft, None)
            stop = self._stops.pop(draft, None)
        if stop is not None:
            stop.set()

    def _creates(self, rules: LinkRules) -> tuple[Creates, ...]:
        """What the sides that cards are created on from now on lack."""
        link = replace(self.worker.link, rules=rules)
        counted = {side: lacking(link.store.engine, side, link.sharing) for side in newly_created_on(link)}
        return tuple(
            Creates(side, one.cards, one.money_minor, link.currency)
            for side, one in counted.items()
            if one.cards
        )

    def save(self, draft: str, *, agreed: bool) -> Draft | None:
        with self._lock:
            found = self._drafts.get(draft)
            if found is None or self.file is None:
                return None
            if found.creates and not agreed:
                raise Unfit([say("Say that the cards may be created, or leave the settings as they were.")])
            before, after = self._texts[draft]
            try:
                if _text_of(self.file) != before:
                    self.drop(draft)
                    raise Unfit(
                        [say("The settings file was changed meanwhile. Look at it and change it again.")]
                    )
                # A link is written through, and whoever may read the file still may.
                real = self.file.resolve()
                mode = real.stat().st_mode & 0o777
                write_private(real, after.encode())
                real.chmod(mode)
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or say("it is no text")
                words = say("The settings file cannot be written ({why}). Nothing was changed.", why=why)
                raise Unfit([words]) from None
            rules = _rules_of(load_text(after, self.file))
            agree(replace(self.worker.link, rules=rules), [one.side for one in found.creates])
            # Others were checked against the file as it was.
            for one in list(self._drafts):
                self.drop(one)
        log.info("the settings were changed in the console", action="settings.saved")
        self._begin_anew()
        return found

    def _begin_anew(self) -> None:
        if self.restart is not None:
            self.restart()

    def _try(self, candidate: Settings, trial: Trial, stop: threading.Event) -> None:
        limit = threading.Timer(TRIAL_SECONDS_MAX, stop.set)
        limit.daemon = True
        limit.start()
        try:
            outcome = rehearse(candidate, stop)
            trial.would = _summed(outcome)
            trial.asked_count = len(outcome.asked)
            trial.asked = [
                in_a_row(part for part in (one.card, one.summary) if part)
                for one in outcome.asked[:ASKED_SHOWN]
            ]
            trial.errors = list(outcome.report.errors)
            if stop.is_set():
                trial.errors.append(
                    say(
                        "Not all cards could be read within {count} minutes.",
                        count=int(TRIAL_SECONDS_MAX / 60),
                    )
                )
        except Exception as error:  # noqa: BLE001 the thread ends here, and the page says so
            trial.errors = [_words(error)]
        finally:
            limit.cancel()
            trial.ended = True

    # --- a check-up -----------------------------------------------------------------------------------------

    def check(self, side: str) -> None:
        with self._lock:
            if self.checkup is not None and not self.checkup.ended:
                return
            self.checkup = made = Checkup(side)
        self._begin("checkup", lambda: self._examine(made))

    def _examine(self, checkup: Checkup) -> None:
        settings, _ = self._now()
        try:
            with opened_sides(settings, self.stop) as sides:
                asked = {
                    name: one.abilities.examinable
                    for name, one in sides.items()
                    if checkup.side in ("", name) and one.abilities.examinable is not None
                }
                diagnosis = examine(
                    settings, {n: e for n, e in asked.items() if e is not None}, self.ledger, None
                )
            for name, findings in diagnosis.findings.items():
                checkup.found[name] = [Found(f.verdict.value, f.sentence, f.remedy) for f in findings]
        except Exception as error:  # noqa: BLE001 the thread ends here, and the page says so
            checkup.error = _words(error)
        finally:
            checkup.ended = True

    def webhook_url(self, side: str) -> str | None:
        return webhook_url(self.settings, side)

    # --- the pool -------------------------------------------------------------------------------------------

    def pools(self) -> Sequence[Refill]:
        found = []
        for side in numbered(self.worker.link.sides):
            free = {brand or "": count for brand, count in self.ledger.pool.free_by_brand(side).items()}
            found.append(Refill(side, free, sum(free.values()) < LOW_WATER))
        return found

    def add_numbers(self, side: str, content: bytes) -> int:
        sides = self.worker.link.sides
        if side not in sides:
            raise Unfit([say("There is no side {side}.", side=side)])
        try:
            brands = brands_of_side(self.settings, side)
            found = read_pool_file(Path("-"), sides[side].capabilities, brands, content)
            return add_to_pool(self.settings, side, found, self.ledger.pool)
        except (OperatorError, FileProblem) as error:
            raise Unfit([_words(error)]) from None

    # --- access ---------------------------------------------------------------------------------------------

    def connectable(self) -> Mapping[str, str]:
        found = {}
        for name, section in self.settings.sides.by_name().items():
            connect = registry.connector_type(section.connector).connect
            if connect is not None:
                try:
                    connect(self._configured(name, section), "https://giftsync.invalid/")
                    found[name] = ""
                except ValueError as error:
                    found[name] = str(error.args[0])
        return found

    def connect(self, side: str, by: str, redirect: str) -> str:
        section = self.settings.sides.by_name().get(side)
        connect = None if section is None else registry.connector_type(section.connector).connect
        if section is None or connect is None:
            raise Unfit([say("{side} cannot be connected from here.", side=side)])
        try:
            attempt = connect(self._configured(side, section), redirect)
        except ValueError as error:
            raise Unfit([str(error.args[0])]) from None
        with self._lock:
            self._attempts[side] = (by, attempt)
        return attempt.permission_url()

    def connected(self, side: str, by: str, query: Sequence[tuple[str, str]]) -> tuple[bool, str]:
        whose, attempt = self._attempts.get(side, ("", None))
        if attempt is None or whose != by:
            return False, say("You have not begun to connect this side. Begin on the settings page.")
        done, words = attempt.finish(query)
        if done:
            with self._lock:
                self._attempts.pop(side, None)
            self._begin_anew()
        return done, words

    def _configured(self, name: str, section: SideSection) -> ConfiguredSide:
        return ConfiguredSide(name, section, build_context(self.settings, name), self.settings.link.zone)

    # --- pause and resume -----------------------------------------------------------------------------------

    def pause(self, by: str, why: str) -> bool:
        try:
            return pausing.pause(self.worker.intake, by, why, self.worker.link.clock())
        except pausing.NotPaused as error:
            raise Unfit([f"{error}."]) from None

    def resume(self, by: str, why: str) -> int:
        try:
            return pausing.resume(self.worker.link, by, why)
        except settle.NotResolved as error:
            raise Unfit([str(error)]) from None

    def _begin(self, name: str, target: Callable[[], None]) -> None:
        threading.Thread(target=target, name=name, daemon=True).start()


def _text_of(file: Path) -> str:
    """The file with its line ends as they are."""
    return file.read_bytes().decode()


def _rules_of(candidate: Settings) -> LinkRules:
    """What the settings allow, as far as the sides themselves let them. Sends nothing. Raises ConfigError."""
    sides = open_sides(candidate)
    try:
        return link_rules(candidate, sides)
    finally:
        for side in sides.values():
            side.close()


def _words(error: Exception) -> str:
    """For people; a bug by its name only, since its words may hold anything."""
    failure = explain(error)
    if failure is None:
        log.error("a task of the settings page failed", action="settings.failed", why=type(error).__name__)
        return f"giftsync could not do it ({type(error).__name__}); the log says more."
    remedy = error.remedy if isinstance(error, OperatorError) else ""
    return f"{' '.join(failure.messages).rstrip('.')}. {remedy}".strip()


def _summed(outcome: Outcome) -> list[Would]:
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for one in outcome.effects:
        sums[one.side, one.effect, one.currency].append(one.amount_minor)
    return [Would(s, effect, len(all_), sum(all_), c) for (s, effect, c), all_ in sorted(sums.items())]


# --- values of a form -------------------------------------------------------------------------------------


def _setting(settings: Settings, path: tuple[str, ...], pinned: frozenset[tuple[str, ...]]) -> Setting:
    key = find_key(type(settings), path)
    if key is None:
        raise LookupError(".".join(path))
    kind, choices = _kind(settings, path)
    return Setting(
        ".".join(path),
        kind,
        _as_form(_at(settings, path)),
        choices,
        key.description,
        (key.default or "").strip('"'),
        key.env if path in pinned else "",
    )


def _kind(settings: Settings, path: tuple[str, ...]) -> tuple[Kind, tuple[str, ...]]:
    if path == ("link", "first_contact"):
        return "choice", ("ask", "lower", "higher", *settings.sides.by_name())
    section = _at(settings, path[:-1])
    annotation = type(section).model_fields[path[-1]].annotation
    parts = (annotation, *get_args(annotation))
    if any(part is bool for part in parts):
        return "bool", ("true", "false")
    if any(part in (int, Decimal) for part in _deep(annotation)):
        return "number", ()
    if isinstance(_at(settings, path), list):
        return "list", ()
    words = tuple(str(one) for one in get_args(annotation) if isinstance(one, str))
    return ("choice", words) if words else ("text", ())


def _deep(annotation: Any) -> list[Any]:
    return [annotation, *(inner for part in get_args(annotation) for inner in _deep(part))]


def _at(settings: Settings, path: tuple[str, ...]) -> Any:
    found: Any = settings
    for name in path:
        found = getattr(found, name)
    return found


def _as_form(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case list() | tuple():
            return ", ".join(str(one) for one in value)
    return str(value)


def _value(settings: Settings, change: Change) -> Value:
    """As the file has it. What makes no sense is left to the check of the whole file, which says why."""
    text = change.after
    match change.setting.kind:
        case "bool":
            return text == "true" if text in ("true", "false") else text
        case "list":
            return [one.strip() for one in text.replace("\n", ",").split(",") if one.strip()]
        case "number":
            plain = text.replace(" ", "").replace("\xa0", "").replace(",", ".")
            if not plain:
                return None
            try:
                number = Decimal(plain)
            except InvalidOperation:
                return text
            return number if number.is_finite() else text
    return text


def _shown(settings: Settings, key: Key) -> str:
    """A value that is not changed here; of a secret, that it is there."""
    value = _at(settings, key.path)
    if key.secret:
        return "••••" if value is not None else ""
    return (
        _as_form(value)
        if not isinstance(value, Mapping)
        else ", ".join(f"{k}: {v}" for k, v in value.items())
    )
