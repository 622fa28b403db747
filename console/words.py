"""How the console writes: a person's language, and the link's zone and number format."""

from __future__ import annotations

import gettext
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal

from connectors.api.capabilities import Place
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError, currency_exponent, minor_from_text
from mappings.sentences import Day, Money, Sentence

LANGUAGES: Mapping[str, str] = {"en": "English", "nb": "Norsk"}
CATALOGUES = Path(__file__).parent / "catalogues"
#: As `format_money` writes it, and as the terminal takes a decision for one side.
_AMOUNT = re.compile(r"-?\d{1,3}(?: \d{3})*(?:\.\d+)? ([A-Z]{3})\b")
_ACCEPT = re.compile(r"accept --side (\w+)")
_LOCALES = {"en": "en_GB", "nb": "nb_NO"}
_DAYS = {"en": "d MMMM y", "nb": "d. MMMM y"}
_SHORT_DAYS = {"en": "d MMM", "nb": "d. MMM"}


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The translations, compiled when they are first needed."""
    path = CATALOGUES / f"{language}.po"
    if not path.exists():
        return gettext.NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def number_locale(zone: ZoneInfo) -> Locale:
    """How numbers are written where the link is, as its time zone tells."""
    territory = get_global("zone_territories").get(zone.key, "GB")
    try:
        return Locale.parse(f"und_{territory}")
    except (UnknownLocaleError, ValueError):
        return Locale.parse("en_GB")


@dataclass(frozen=True)
class Words:
    """One language on one link."""

    language: str
    zone: ZoneInfo
    numbers: Locale

    @classmethod
    def of(cls, language: str, zone: ZoneInfo) -> Words:
        return cls(language if language in LANGUAGES else "en", zone, number_locale(zone))

    def text(self, message: str, **values: object) -> str:
        """The message in the language; `{name}` stands for a value."""
        words = catalogue(self.language).gettext(message)
        return words.format(**values) if values else words

    def texts(self, one: str, many: str, count: int, **values: object) -> str:
        """The same for a count, which is `{count}` in the message."""
        words = catalogue(self.language).ngettext(one, many, count)
        return words.format(count=self.number(count), **values)

    def why(self, error: Exception) -> str:
        """What an error says; `str` would give the English text of its sentence."""
        words = error.args[0] if error.args else ""
        return self.amounts(words) if isinstance(words, Sentence) else self.text(str(words))

    # --- numbers --------------------------------------------------------------------------------------------

    def number(self, value: int | float) -> str:
        return str(format_decimal(value, locale=self.numbers))

    def seconds(self, value: float) -> str:
        if value >= 90:
            return self.span(timedelta(seconds=value))
        return f"{format_decimal(round(value, 1), format='#,##0.0', locale=self.numbers)} s"

    def money(self, minor: int, currency: str) -> str:
        amount = Decimal(minor).scaleb(-currency_exponent(currency))
        return str(format_currency(amount, currency, locale=self.numbers))

    def signed(self, minor: int, currency: str) -> str:
        return f"{'+' if minor > 0 else ''}{self.money(minor, currency)}"

    def minor_of(self, typed: str, currency: str) -> int:
        """An amount as people type it. Raises MoneyError for what could be another one, in their language."""
        try:
            return minor_from_text(typed, currency)
        except MoneyError:
            example = self.money(5 * 10 ** (currency_exponent(currency) + 2) // 2, currency)
            words = self.text(
                "“{typed}” is no amount that can be read in one way only. Write it without thousands marks, "
                "such as {example}.",
                typed=typed.strip()[:40],
                example=example,
            )
            raise MoneyError(words) from None

    def amounts(self, sentence: str, places: Mapping[str, Place] | None = None) -> str:
        """The sentence in the language, with its amounts as the link writes them."""
        if isinstance(sentence, Sentence):
            there = {name: self._value(name, value, places or {}) for name, value in sentence.values.items()}
            message = catalogue(self.language).gettext(sentence.message)
            return message.format(**there) if there else message

        def amount(found: re.Match[str]) -> str:
            try:
                return self.money(minor_from_text(found[0], found[1]), found[1])
            except MoneyError:
                return found[0]

        return _AMOUNT.sub(amount, sentence)

    def said(self, sentence: str, places: Mapping[str, Place] | None = None) -> str:
        """A sentence of giftsync's, with amounts as the link writes them and no words of the terminal."""

        def right(found: re.Match[str]) -> str:
            place = (places or {}).get(found[1])
            return self.text("{side} is right", side=found[1] if place is None else place.name)

        words = _ACCEPT.sub(right, self.amounts(sentence, places))
        words = words.replace("value --amount", "another amount")
        words = words.replace("not_landed", "not landed").replace("write_off", "write off")
        return words[:1].upper() + words[1:]

    def _value(self, name: str, value: object, places: Mapping[str, Place]) -> str:
        """A value of a sentence as a person of the language reads it."""
        match value:
            case None | Day() | date():
                return self.day(value.day if isinstance(value, Day) else value)
            case Money():
                return self.money(value.minor, value.currency)
            case CardStatus():
                return self.status(value)
            case int():
                return self.number(value) if value >= 10_000 else str(value)
        if name.startswith("side") and value in places:
            return places[str(value)].name
        return self.amounts(str(value) if not isinstance(value, str) else value, places)

    # --- times ----------------------------------------------------------------------------------------------

    @property
    def locale(self) -> str:
        return _LOCALES[self.language]

    def day(self, when: date | datetime | None) -> str:
        if when is None:
            return self.text("never")
        day = when.astimezone(self.zone).date() if isinstance(when, datetime) else when
        return str(format_date(day, _DAYS[self.language], locale=self.locale))

    def clock(self, when: datetime) -> str:
        return when.astimezone(self.zone).strftime("%H:%M:%S")

    def minute(self, when: datetime) -> str:
        return when.astimezone(self.zone).strftime("%H:%M")

    def moment(self, when: datetime, now: datetime) -> str:
        """`today 14:02`, `23 November 14:02`, with the year when it is another one."""
        local, today = when.astimezone(self.zone), now.astimezone(self.zone).date()
        if local.date() == today:
            return self.text("today {time}", time=f"{local:%H:%M}")
        if local.date() == today - timedelta(days=1):
            return self.text("yesterday {time}", time=f"{local:%H:%M}")
        short = str(format_datetime(local, _SHORT_DAYS[self.language], locale=self.locale))
        return f"{short} {local:%H:%M}" if local.year == today.year else f"{short} {local.year} {local:%H:%M}"

    def exact(self, when: datetime) -> str:
        return f"{when.astimezone(self.zone):%Y-%m-%d %H:%M:%S %Z}"

    def span(self, span: timedelta) -> str:
        """`4 minutes`: rounded down, at least one second."""
        seconds = max(1, int(span.total_seconds()))
        if seconds >= 172_800:
            return self.texts("{count} day", "{count} days", seconds // 86_400)
        if seconds >= 7_200:
            return self.texts("{count} hour", "{count} hours", seconds // 3_600)
        if seconds >= 120:
            return self.texts("{count} minute", "{count} minutes", seconds // 60)
        return self.texts("{count} second", "{count} seconds", seconds)

    # --- words of the field ---------------------------------------------------------------------------------

    def status(self, status: str) -> str:
        return {
            "active": self.text("active"),
            "inactive": self.text("inactive"),
            "suspended": self.text("suspended"),
            "closed": self.text("closed"),
        }.get(status, status)

    def role(self, role: str) -> str:
        return {
            "merchant": self.text("merchant"),
            "support": self.text("support"),
            "read_only": self.text("read-only"),
        }.get(role, role)

    def action(self, action: str) -> str:
        """A decision that many conflicts can have."""
        return {
            "acknowledge": self.text("I have seen it; nothing more follows"),
            "ignore": self.text("It stays so; do not ask again while it does"),
            "retry": self.text("The cause is mended; look again"),
            "write_off": self.text("The merchant bears what is at stake"),
            "resume": self.text("The link goes on"),
        }.get(action, action.replace("_", " "))

    def doer(self, name: str) -> str:
        """Who did something: a person, or whoever sat at the terminal."""
        return self.text("the terminal") if name == "the terminal" else name

    def run(self, word: str) -> str:
        """What kind of run it was, and how it ended."""
        return {
            "run": self.text("run"),
            "sync": self.text("pass"),
            "import": self.text("import"),
            "worker": self.text("worker"),
            "done": self.text("done"),
            "failed": self.text("not finished"),
        }.get(word, word)

    def effect(self, effect: str) -> str:
        """What would be written to a side."""
        return {
            "create": self.text("create cards"),
            "credit": self.text("put money on cards"),
            "debit": self.text("take money off cards"),
            "set status": self.text("change the status"),
            "set expiry": self.text("change the expiry date"),
            "notify": self.text("tell buyers"),
        }.get(effect, effect)

    def kind(self, kind: str) -> str:
        """A conflict's kind."""
        return {
            "overdraft": self.text("spent twice"),
            "first_contact": self.text("two balances"),
            "status": self.text("two statuses"),
            "expiry": self.text("two expiry dates"),
            "serial": self.text("number not possible"),
            "currency": self.text("other currency"),
            "over_limit": self.text("over the limit"),
            "missing": self.text("card is gone"),
            "unreadable": self.text("unbelievable answer"),
            "duplicate": self.text("twice"),
            "in_doubt": self.text("in doubt"),
            "refused": self.text("refused"),
            "not_writable": self.text("takes no money now"),
            "notification": self.text("buyer not told"),
            "ledger_behind": self.text("ledger was put back"),
            "second_ledger": self.text("second giftsync"),
            "pool_empty": self.text("no numbers left"),
            "tampered": self.text("rows were changed"),
            "history_changed": self.text("old rows were changed"),
            "brake": self.text("link stopped"),
        }.get(kind, kind.replace("_", " "))
