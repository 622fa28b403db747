"""What the sentences of scenarios do: the first pattern that fits the whole line is carried out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from connectors.api.card import Absent, CardRef, Seen
from connectors.api.errors import SideClosed
from connectors.api.settings import Direction, SideDirections
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from mappings.serials import Serial, SerialError, mask
from sync.decisions.resolutions import Action
from sync.ledger import views
from sync.ledger.conflicts.stops import stopped_by
from sync.ledger.views import ConflictRow
from sync.model import Closing, Overdraft
from sync.support import assign, settle
from sync.support.settle import NotResolved, Resolution
from tests.integration.shop import FLOW, SHOPIFY
from tests.scenarios.worlds import Known, MemoryWorld, Refused, World, minor_of, serial_on

SIDES = {"in the store": FLOW, "online": SHOPIFY, "the store": FLOW, "the shop": SHOPIFY}
SIDE = "(in the store|online)"
CARD, AMOUNT, DAY = "([A-Z])", r"([0-9]+\.[0-9]{2})", r"([0-9]{4}-[0-9]{2}-[0-9]{2})"


@dataclass
class Story:
    """One scenario under way."""

    world: World
    started: bool = False
    #: What the last attempt of a person came to: the reason why not, or nothing.
    refused: str = ""
    told: list[str] = field(default_factory=list)
    writes_before: int = 0

    def begin(self) -> None:
        if not self.started:
            self.world.start()
            self.started = True


Step = Callable[..., None]
_STEPS: list[tuple[re.Pattern[str], Step, bool]] = []


def step(pattern: str, *, setting: bool = False) -> Callable[[Step], Step]:
    """Bind a sentence; its groups are the step's arguments."""

    def bind(function: Step) -> Step:
        _STEPS.append((re.compile(pattern), function, setting))
        return function

    return bind


def carry_out(story: Story, line: str) -> None:
    for pattern, function, setting in _STEPS:
        found = pattern.fullmatch(line)
        if found is not None:
            if not setting:
                story.begin()
            function(story, *found.groups())
            return
    raise AssertionError(f"no step says {line!r}")


# --- Settings -----------------------------------------------------------------------------------------------


def _ways(**ways: Direction) -> dict[str, SideDirections]:
    """Directions, each from Shopify's point of view: what goes in there comes out of the store."""
    other: dict[Direction, Direction] = {"in": "out", "out": "in"}
    store = {field: other.get(way, way) for field, way in ways.items()}
    return {FLOW: SideDirections(**store), SHOPIFY: SideDirections(**ways)}


SETTINGS: dict[str, tuple[str, object]] = {
    "cards are not uploaded to Shopify": ("upload", False),
    "cards are not downloaded to the store": ("download", False),
    "no serial prefix is set": ("prefix", None),
    "short numbers are lengthened": ("lengthen", True),
    "buyers of new cards are told": ("tell", True),
    "balances go to Shopify only": ("directions", _ways(balance="in")),
    "balances go to the store only": ("directions", _ways(balance="out")),
    "balances are not written": ("directions", _ways(balance="off")),
    "statuses go to Shopify only": ("directions", _ways(status="in")),
    "statuses go to the store only": ("directions", _ways(status="out")),
    "statuses are left alone": ("directions", _ways(status="off")),
    "expiry goes to Shopify only": ("directions", _ways(expiry="in")),
    "expiry is left alone": ("directions", _ways(expiry="off")),
    "all fields go both ways": ("directions", _ways()),
    "suspended cards are deactivated": ("suspends_as", CardStatus.CLOSED),
    "a closed card is a conflict": ("closing", Closing.CONFLICT),
    "overdrafts are written off": ("overdraft", Overdraft.WRITE_OFF),
    "the lower balance wins on first contact": ("first_contact", "lower"),
    "the higher balance wins on first contact": ("first_contact", "higher"),
    "the store's balance wins on first contact": ("first_contact", "flow"),
    "the shop's balance wins on first contact": ("first_contact", "shopify"),
}


@step(f"the settings say that ({'|'.join(SETTINGS)})", setting=True)
def _setting(story: Story, words: str) -> None:
    name, value = SETTINGS[words]
    story.world.rules[name] = value
    if story.started:
        _restart(story)


def _restart(story: Story) -> None:
    """giftsync is started again, with the settings as they are now."""
    if isinstance(story.world, MemoryWorld):
        story.world.restart()
    else:
        story.world.start()


@step(r"the settings again let cards be (uploaded to Shopify|downloaded to the store)")
def _setting_back(story: Story, words: str) -> None:
    story.world.rules["upload" if "upload" in words else "download"] = True
    _restart(story)


@step(f"the brake allows {AMOUNT} an hour", setting=True)
def _brake(story: Story, amount: str) -> None:
    story.world.rules["money_per_hour"] = minor_of(amount)


@step(f"the brake allows {AMOUNT} a card", setting=True)
def _card_brake(story: Story, amount: str) -> None:
    story.world.rules["money_per_card"] = minor_of(amount)


@step(r"the brake allows ([0-9]+) cards an hour", setting=True)
def _cards_brake(story: Story, count: str) -> None:
    story.world.rules["cards_per_hour"] = int(count)


@step(r"the pool has the number of (.)")
def _pool(story: Story, name: str) -> None:
    story.world.generate(name)
    story.world.ledger.pool.add(FLOW, [serial_on(story.world, FLOW, name)])


@step(r"the physical card (.) was generated in advance")
def _generated(story: Story, name: str) -> None:
    story.world.generate(name)


# --- What people do -----------------------------------------------------------------------------------------


@step(rf"a card of {AMOUNT} is sold {SIDE} as {CARD}(?:, valid to {DAY})?")
def _sold(story: Story, amount: str, side: str, name: str, until: str | None) -> None:
    expires_on = None if until is None else date.fromisoformat(until)
    story.world.sell(SIDES[side], name, minor_of(amount), expires_on, "", "")


@step(rf"a card of {AMOUNT} is sold in the store as {CARD} to (\S+@\S+)")
def _sold_to(story: Story, amount: str, name: str, email: str) -> None:
    story.world.sell_to(name, minor_of(amount), email)


@step(r"the answer to the next message is lost")
def _message_lost(story: Story) -> None:
    story.world.lose_answer_to_message()


@step(r"([0-9]+) messages? went out to buyers")
def _told(story: Story, count: str) -> None:
    assert story.world.messages() == int(count), story.world.messages()


@step(rf"a card of {AMOUNT} is bought online as {CARD} with order (#[0-9]+) by ([A-Z][a-z]+ [A-Z][a-z]+)")
def _bought(story: Story, amount: str, name: str, order: str, who: str) -> None:
    story.world.sell(SHOPIFY, name, minor_of(amount), None, order, who)


@step(rf"a card with the (?:short|long) number ([0-9]+) of {AMOUNT} is sold in the store as {CARD}")
def _short(story: Story, number: str, amount: str, name: str) -> None:
    story.world.cards[name] = Known({FLOW: number})
    story.world.sell(FLOW, name, minor_of(amount), None, "", "")


@step(rf"{CARD} is also sold online for {AMOUNT} with the same number")
def _same(story: Story, name: str, amount: str) -> None:
    known = story.world.cards[name]
    known.serials[SHOPIFY] = known.serials[FLOW]
    story.world.sell(SHOPIFY, name, minor_of(amount), None, "", "")


@step(rf"a card of {AMOUNT} is sold online as {CARD} with the same last four as {CARD}")
def _same_last_four(story: Story, amount: str, name: str, other: str) -> None:
    last = story.world.cards[other].serials[FLOW][-4:]
    story.world.cards[name] = Known({SHOPIFY: f"abcdefgh1234{last}"})
    story.world.sell(SHOPIFY, name, minor_of(amount), None, "", "")


@step(r"the shop trades in ([A-Z]{3})")
def _currency(story: Story, currency: str) -> None:
    assert isinstance(story.world, MemoryWorld)
    story.world.shop.sides[SHOPIFY].currency = currency


@step(rf"([0-9]+) cards of {AMOUNT} each are sold in the store")
def _stock(story: Story, count: str, amount: str) -> None:
    assert isinstance(story.world, MemoryWorld)
    for number in range(int(count)):
        story.world.shop.sell(FLOW, minor_of(amount), f"20003000400050{number:02d}")


@step(r"the shop suddenly shows none of its cards")
def _empty(story: Story) -> None:
    assert isinstance(story.world, MemoryWorld)
    side = story.world.shop.sides[SHOPIFY]
    story.world.hidden = dict(side.cards)
    side.cards.clear()


@step(r"the shop shows its cards again")
def _not_empty(story: Story) -> None:
    assert isinstance(story.world, MemoryWorld)
    story.world.shop.sides[SHOPIFY].cards.update(story.world.hidden)


@step(r"another shop answers")
def _another_shop(story: Story) -> None:
    assert isinstance(story.world, MemoryWorld)
    story.world.shop.sides[SHOPIFY].answers_as = "somebody else's shop"


@step(r"giftsync says who the sides are")
def _who(story: Story) -> None:
    assert isinstance(story.world, MemoryWorld)
    story.refused = ""
    try:
        story.world.shop.worker.check_sides()
    except SideClosed as error:
        story.refused = str(error)


@step(r"the late requests land")
def _land_late(story: Story) -> None:
    assert isinstance(story.world, MemoryWorld)
    assert sum(side.land_late() for side in story.world.shop.sides.values()) > 0


@step(rf"{AMOUNT} (?:is|are) spent {SIDE} with {CARD}")
def _spent(story: Story, amount: str, side: str, name: str) -> None:
    story.world.move(SIDES[side], name, -minor_of(amount))


@step(rf"{AMOUNT} (?:is|are) loaded {SIDE} on {CARD}")
def _loaded(story: Story, amount: str, side: str, name: str) -> None:
    story.world.move(SIDES[side], name, minor_of(amount))


@step(rf"{AMOUNT} (?:is|are) refunded online to {CARD}")
def _refunded(story: Story, amount: str, name: str) -> None:
    story.world.refund(name, minor_of(amount))


@step(rf"spending {AMOUNT} {SIDE} with {CARD} is refused")
def _cannot_spend(story: Story, amount: str, side: str, name: str) -> None:
    try:
        story.world.move(SIDES[side], name, -minor_of(amount))
    except Refused:
        return
    raise AssertionError("it was not refused")


@step(rf"{CARD} is (suspended|closed|activated) {SIDE}")
def _status(story: Story, name: str, status: str, side: str) -> None:
    story.world.set_status(SIDES[side], name, "active" if status == "activated" else status)


@step(rf"{CARD} shows the status ([A-Z]+) {SIDE}")
def _odd_status(story: Story, name: str, status: str, side: str) -> None:
    story.world.set_status(SIDES[side], name, status)


@step(rf"{CARD} is made valid to {DAY} {SIDE}")
def _expiry(story: Story, name: str, until: str, side: str) -> None:
    story.world.set_expiry(SIDES[side], name, date.fromisoformat(until))


@step(rf"{CARD} is made valid for ever {SIDE}")
def _no_expiry(story: Story, name: str, side: str) -> None:
    story.world.set_expiry(SIDES[side], name, None)


@step(rf"{CARD} runs out in the store at this moment")
def _runs_out(story: Story, name: str) -> None:
    story.world.run_out(name)


@step(rf"{CARD} is gone {SIDE}")
def _gone(story: Story, name: str, side: str) -> None:
    story.world.remove(SIDES[side], name)


@step(r"([0-9]+) days pass")
def _days(story: Story, days: str) -> None:
    story.world.advance(int(days) * 86_400.0)


FAULTS = {
    "the answer is lost": "answer_lost",
    "the request is lost": "dropped",
    "the connection fails": "not_sent",
    "the side is busy": "throttled",
    "the side says no": "refused",
    "the request lands late": "late",
}


@step(rf"({'|'.join(FAULTS)}) ([0-9]+) times? (in the store|online)")
def _fault(story: Story, what: str, times: str, side: str) -> None:
    story.world.fail(SIDES[side], FAULTS[what], int(times))


@step(r"the connection is mended (in the store|online)")
def _mended(story: Story, side: str) -> None:
    story.world.mend(SIDES[side])


@step(rf"support makes a card of {AMOUNT} online as {CARD}")
def _made_by_hand(story: Story, amount: str, name: str) -> None:
    story.world.make_online(name, minor_of(amount))


# --- giftsync -----------------------------------------------------------------------------------------------


@step(r"giftsync runs")
def _runs(story: Story) -> None:
    story.world.sync()
    story.writes_before = story.world.writes()


@step(r"giftsync runs again and writes nothing")
def _nothing(story: Story) -> None:
    before = story.world.writes()
    story.world.sync()
    assert story.world.writes() == before, "something was written"


@step(rf"staff assign {CARD} to order (#?[0-9]+)( as a preview)?( and close the old card)?")
def _assign(story: Story, name: str, order: str, preview: str | None, close: str | None) -> None:
    serial = serial_on(story.world, FLOW, name)
    (choice,) = assign.cards_of_order(story.world.link, order)
    try:
        assign.assign(
            story.world.link, choice.card_id, serial, "kari", close_old=bool(close), preview=bool(preview)
        )
        story.world.cards[name].serials[SHOPIFY] = serial.reveal()
        story.refused = ""
    except (assign.NotAssigned, SerialError) as error:
        story.refused = str(error)


@step(rf"support says ([a-z_]+)(?: {AMOUNT})?(?: of {SIDE})? on the ([a-z_]+) conflict( as a preview)?")
def _resolve(
    story: Story, action: str, amount: str | None, side: str | None, kind: str, preview: str | None
) -> None:
    found = [c for c in _log(story) if c.kind == kind]
    assert found, f"there is no {kind} conflict: {[c.kind for c in _log(story)]}"
    chosen = next((c for c in found if c.closed_at is None), found[-1])
    said = Resolution(
        Action(action),
        "kari",
        "I looked",
        None if side is None else SIDES[side],
        None if amount is None else minor_of(amount),
    )
    story.refused = ""
    try:
        settle.resolve(story.world.link, chosen.id, said, preview=bool(preview))
    except NotResolved as error:
        story.refused = str(error)


@step(rf"support says link to {CARD} on the ([a-z_]+) conflict( as a preview)?")
def _link(story: Story, name: str, kind: str, preview: str | None) -> None:
    chosen = next(c for c in _log(story) if c.kind == kind)
    ref = CardRef(None, serial_on(story.world, SHOPIFY, name))
    said = Resolution(Action.LINK, "kari", "I looked", card=ref)
    settle.resolve(story.world.link, chosen.id, said, preview=bool(preview))


@step(rf"support says link to the free number ([0-9]+) of {CARD} on the ([a-z_]+) conflict")
def _renumber(story: Story, number: str, name: str, kind: str) -> None:
    story.world.cards[name].serials[SHOPIFY] = number
    chosen = next(c for c in _log(story) if c.kind == kind)
    said = Resolution(Action.LINK, "kari", "I looked", card=CardRef(None, Serial(number)))
    settle.resolve(story.world.link, chosen.id, said)


@step(r"support resumes the link")
def _resume(story: Story) -> None:
    for one in [c for c in _log(story) if c.kind == "brake" and c.closed_at is None]:
        said = Resolution(Action.RESUME, "kari", "I looked")
        settle.resolve(story.world.link, one.id, said)


# --- What is seen -------------------------------------------------------------------------------------------


def _see(story: Story, side: str, name: str) -> object:
    """What the side truly shows of the card."""
    serial = serial_on(story.world, side, name)
    native = story.world.native(side, serial)
    if native is None:
        return Absent(story.world.link.clock())
    flow = side == FLOW
    ref = CardRef(None if flow else native, serial)
    return next(iter(story.world.link.sides[side].observe([ref])))


def _seen(story: Story, side: str, name: str) -> Seen:
    seen = _see(story, side, name)
    assert isinstance(seen, Seen), f"{name} is not on {side}: {seen}"
    return seen


def _sides(words: str) -> list[str]:
    return [FLOW, SHOPIFY] if words == "everywhere" else [SIDES[words]]


@step(rf"{CARD} is worth {AMOUNT} (everywhere|in the store|online)")
def _worth(story: Story, name: str, amount: str, where: str) -> None:
    shown = {side: _seen(story, side, name).balance_minor for side in _sides(where)}
    assert shown == dict.fromkeys(shown, minor_of(amount)), shown


@step(rf"{CARD} is (active|suspended|closed) (everywhere|in the store|online) now")
def _is(story: Story, name: str, status: str, where: str) -> None:
    shown = {side: _seen(story, side, name).status for side in _sides(where)}
    assert {str(s) for s in shown.values()} == {status}, shown


@step(rf"{CARD} is valid to {DAY} (everywhere|in the store|online)")
def _valid(story: Story, name: str, until: str, where: str) -> None:
    shown = {side: str(_seen(story, side, name).expires_on) for side in _sides(where)}
    assert set(shown.values()) == {until}, shown


@step(rf"{CARD} is valid for ever (everywhere|in the store|online)")
def _valid_for_ever(story: Story, name: str, where: str) -> None:
    shown = {side: _seen(story, side, name).expires_on for side in _sides(where)}
    assert set(shown.values()) == {None}, shown


@step(rf"{CARD} is not {SIDE}")
def _absent(story: Story, name: str, side: str) -> None:
    seen = _see(story, SIDES[side], name)
    assert isinstance(seen, Absent) or (isinstance(seen, Seen) and seen.balance_minor == 0), seen


@step(rf"the note of {CARD} in the store says \"(.*)\"")
def _note(story: Story, name: str, words: str) -> None:
    last = story.world.cards[name].serials[SHOPIFY][-4:]
    note = _seen(story, FLOW, name).note
    assert words.replace("(last four)", last) in note, note


@step(rf"the number of {CARD} in the store begins with ([0-9]+)")
def _number(story: Story, name: str, prefix: str) -> None:
    assert serial_on(story.world, FLOW, name).reveal().startswith(prefix)


@step(rf"the number of {CARD} is the same everywhere")
def _same_number(story: Story, name: str) -> None:
    seen = _seen(story, SHOPIFY, name)
    assert seen.last_chars == serial_on(story.world, FLOW, name).last_chars


@step(r"it is refused: (.*)")
def _is_refused(story: Story, words: str) -> None:
    assert words in story.refused, story.refused or "it was not refused"


@step(r"no conflict waits")
def _none_waits(story: Story) -> None:
    waiting = [c.summary for c in _log(story) if c.closed_at is None]
    assert waiting == [], waiting


@step(r"([0-9]+) conflicts wait")
def _so_many_wait(story: Story, count: str) -> None:
    waiting = [c.summary for c in _log(story) if c.closed_at is None]
    assert len(waiting) == int(count), waiting


@step(r"the link is (stopped|running)")
def _stopped(story: Story, words: str) -> None:
    assert bool(stopped_by(story.world.ledger.engine)) is (words == "stopped")


@step(rf"the ledger holds {AMOUNT} in all")
def _total(story: Story, amount: str) -> None:
    held = sum(c.balance_minor for c in views.list_cards(story.world.ledger.engine))
    assert held == minor_of(amount), held


# --- The conflict log ---------------------------------------------------------------------------------------


def _log(story: Story) -> list[ConflictRow]:
    return list(views.list_conflicts(story.world.ledger.engine, include_closed=True))


def log_lines(story: Story) -> list[str]:
    """The conflict log as support staff read it; numbers of cards by their names in the scenario."""
    story.begin()
    names = {
        mask(serial): f"••••{name}"
        for name, known in story.world.cards.items()
        for serial in known.serials.values()
    }
    lines = [_line(c) for c in _log(story)]
    for masked, name in names.items():
        lines = [line.replace(masked, name) for line in lines]
    return lines


def _line(c: ConflictRow) -> str:
    stake = f" {format_money(c.amount_minor, c.currency or 'NOK')}" if c.amount_minor else ""
    state = "open" if c.closed_at is None else f"closed ({c.resolution})"
    return f"{state}, {c.kind}{stake}: {c.summary}"
