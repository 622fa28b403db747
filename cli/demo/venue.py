"""The sides of the demo: an emulator of the sandbox, or the stand-in that an installed connector brings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from cli.demo.control import Control, Refused, TrueCard
from cli.emulators import SIDES_DEFAULT, Address, parse_sides, side_name
from cli.errors import OperatorError
from cli.output import plural
from connectors import registry
from connectors.api.plugin import ConnectorType
from connectors.api.trial import Till
from connectors.installed import shipped
from mappings.money import decimal_from_minor
from sandbox.emulated import Act, Deed, People
from sandbox.registry import PLACES, emulated, is_emulated, kind_and_number


class Calls(Protocol):
    """What the demo's people and its proof ask of one side. Thread-safe."""

    def move(self, name: str, amount_minor: int, /, **body: object) -> Mapping[str, Any]:
        """A call that moves money. Raises Refused."""
        ...

    def cards(self) -> list[TrueCard]:
        """Every card, as the side really has it."""
        ...

    def fail(self, rules: Sequence[Mapping[str, object]], seed: int) -> None:
        """Lose answers and break from now on, where the side can."""
        ...


@dataclass(frozen=True)
class Venue:
    """One side of the demo: who uses cards there, and how it is asked."""

    #: Its name in the link.
    side: str
    #: After `Is on the cards`.
    where: str
    people: People
    #: What its calls name the number of a card.
    serial: str
    calls: Calls
    #: What it cannot follow when it is done elsewhere.
    cannot_follow: frozenset[Deed] = frozenset()


@dataclass(frozen=True)
class Trial:
    """A connector's stand-in as a venue, with the keys of its side's table."""

    venue: Venue
    settings: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True)
class TillCalls:
    """The till of a stand-in, asked like the control plane of an emulator."""

    till: Till
    currency: str

    def move(self, name: str, amount_minor: int, /, **body: object) -> Mapping[str, Any]:
        if name == Deed.SELL:
            return {"number": self.till.sell(amount_minor)}
        act = self.till.spend if name == Deed.SPEND else self.till.load
        number = str(body["number"])
        if not act(number, amount_minor):
            raise Refused("the till refuses")
        left = next((one.balance_minor for one in self.till.cards() if one.serial == number), 0)
        return {"balance": decimal_from_minor(left, self.currency)}

    def cards(self) -> list[TrueCard]:
        return [TrueCard(one.native_id, one.serial, one.balance_minor) for one in self.till.cards()]

    def fail(self, rules: Sequence[Mapping[str, object]], seed: int) -> None:
        """A stand-in has no faults."""


#: Those at the till of a stand-in.
_CLERKS = People(
    "clerk",
    (
        Act(Deed.SELL, Deed.SELL, "sold at the third till", 2),
        Act(Deed.SPEND, Deed.SPEND, "spent at the third till", 6),
        Act(Deed.LOAD, Deed.LOAD, "loaded at the third till", 2),
    ),
)


def chosen_sides(wanted: str, third: str | None) -> tuple[str, ...]:
    """The types of `--sides`: a list, or how many. Raises OperatorError."""
    if wanted.isdigit():
        if wanted not in ("2", "3"):
            raise OperatorError(
                f"--sides {wanted} is neither 2 nor 3", "Name the types, such as --sides flow,shopify."
            )
        with_third = wanted == "3" or third is not None
        return (*SIDES_DEFAULT, _stand_in(third)) if with_third else SIDES_DEFAULT
    kinds = parse_sides(wanted)
    able = {kind.name for kind in registry.usable() if kind.trial is not None}
    for kind in kinds:
        if not is_emulated(kind) and kind not in able:
            have = ", ".join([*PLACES, *sorted(able)])
            raise OperatorError(f"the demo has no {kind}", f"It has: {have}.")
    if third is not None and third not in kinds:
        kinds = (*kinds, _stand_in(third))
    if len(kinds) < 2:
        raise OperatorError("a link has two sides or more", "For example: --sides flow,shopify.")
    return kinds


def sides_words(kinds: Sequence[str]) -> str:
    """The systems in words, such as `a store and a shop`, `a store and 2 shops`."""
    counted = Counter(
        emulated(kind).what if is_emulated(kind) else registry.connector_type(kind).title for kind in kinds
    )
    words = [what if count == 1 else _several(what, count) for what, count in counted.items()]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _several(what: str, count: int) -> str:
    """`2 shops`; of a system that goes by its name, `Gift Local (2)`."""
    one, of, more = what.removeprefix("a ").partition(" with ")
    return f"{what} ({count})" if what == one else f"{plural(count, one)}{of}{more}"


def emulated_venues(address: Address, currency: str) -> list[Venue]:
    """The sandbox's sides."""
    venues, of_kind = [], Counter(kind_and_number(name)[0] for name in address.sides)
    for name in address.sides:
        kind, calls, side = emulated(name), Control(address.url(name), currency), side_name(name)
        # Of several, each is called by its name in the link, as everywhere else.
        alone = of_kind[kind_and_number(name)[0]] == 1
        where = kind.where if alone else f"{kind.where.split(' (')[0]} ({side})"
        venues.append(Venue(side, where, kind.people, kind.serial, calls, kind.cannot_follow))
    return venues


@contextmanager
def trial_venue(name: str, currency: str) -> Iterator[Trial]:
    """A connector's stand-in, running."""
    kind = registry.connector_type(name)
    assert kind.trial is not None  # noqa: S101 chosen for it
    trial = kind.trial(currency)
    calls = TillCalls(trial.till, currency)
    try:
        yield Trial(Venue(side_name(name), f"at {kind.title}", _CLERKS, "number", calls), trial.settings)
    finally:
        trial.close()


def _stand_in(wanted: str | None) -> str:
    """The type that is named, or the first that brings a stand-in along; one installed beside giftsync comes
    first. Raises OperatorError."""
    able: list[ConnectorType] = [kind for kind in registry.usable() if kind.trial is not None]
    able.sort(key=lambda kind: kind.name in shipped())
    found = next((kind for kind in able if wanted in (None, kind.name)), None)
    if found is None:
        names = ", ".join(kind.name for kind in able) or "none"
        raise OperatorError(
            f"no connector {wanted} with a stand-in is installed"
            if wanted
            else "no connector has a stand-in",
            f"With one are installed: {names}.",
        )
    return found.name
