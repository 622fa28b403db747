"""Gift Local as a side: a gift is read by its code, money is taken by a redemption, and nothing is put on it.

Redemptions carry no mark, so one whose answer was lost is told by what the gift holds (giftlocal.md §5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.api.abilities import Abilities
from connectors.api.build import BuildContext
from connectors.api.capabilities import Capabilities, Identity, Place
from connectors.api.card import CardRef, Seen
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, FindResult, Found, NotFound, Save
from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, SideClosed, SideError, Throttled
from connectors.api.feed import Feed, HintPage
from connectors.giftlocal.client import (
    CODE_LENGTH,
    NOBODYS_CODE,
    AccountClient,
    CodeUnfit,
    Minting,
    Reversal,
)
from connectors.giftlocal.doctor import AccountDoctor
from connectors.giftlocal.model import Gift, Reading, guids_in, minted, read_gift
from connectors.kit.answers import Rejected
from connectors.kit.fields import NotBelieved
from connectors.kit.one_client import CardByCardSide
from mappings.money import decimal_from_minor
from mappings.sentences import say

#: A redemption is sent again once only; then a person is asked (giftlocal.md §5).
ATTEMPTS_MAX: Final = 2
#: A gift is asked for so often, also where that is harmless; then a person is asked.
MINTS_MAX: Final = 5
_NAME: Final = "Gift Local"
_UNPROVED: Final = "is not known to make gifts without mailing them; `giftsync doctor --probe` tries it"


@dataclass(frozen=True)
class Habits:
    """What is proved of the account, and what the merchant allows."""

    #: None: the settings do not name what a new gift needs.
    minting: Minting | None = None
    #: Proved: a gift is made, its code is told, and nobody is mailed.
    mints: bool = False
    #: Proved: a gift is made once only for one external transaction.
    mints_once: bool = False
    #: Allowed: a gift whose code was lost with the answer is made again.
    mints_again: bool = False
    #: Allowed: a redemption counts as carried out when the gift holds exactly that much less.
    believes_balance: bool = True
    reversal: Reversal | None = None


class GiftLocalSide(CardByCardSide):
    """One account, at one location. Thread-safe."""

    _client: AccountClient
    _system = _misread = _NAME

    def __init__(
        self,
        client: AccountClient,
        context: BuildContext,
        *,
        identity: str,
        keeps_cards_in: str,
        reading: Reading,
        habits: Habits,
    ) -> None:
        self.name = context.name
        self.known_as = identity
        #: Gift Local lists nothing and tells nobody of a payment: cards are looked at in turn.
        self.feeds: Sequence[Feed] = ()
        minting = habits.minting if habits.mints else None
        why_not = (
            _UNPROVED if habits.minting is not None else say("makes no gifts: its table names no program")
        )
        self.capabilities = Capabilities(
            creates=minting is not None,
            debits=True,
            credits=False,
            sets_expiry=False,
            sets_status=frozenset(),
            notifies=False,
            lists_entries=False,
            hides_serials=False,
            moves_when_suspended=False,
            read_batch_max=1,
            serial_length_min=CODE_LENGTH,
            serial_length_max=CODE_LENGTH,
            serial_digits_only=True,
            assigns_numbers=True,
            why_no_creates="" if minting is not None else why_not,
        )
        self.abilities = Abilities(
            examinable=self,
            place=context.place(Place(_NAME, _NAME, where="store", at=say("where Gift Local is taken"))),
            keeps_cards_in=keeps_cards_in,
        )
        self._client, self._reading, self._habits = client, reading, habits
        self._minting = minting
        self._clock, self._timezone = context.clock, context.timezone
        self._doctor = AccountDoctor(self, client, reading, habits.minting, habits.reversal, context.pause)

    def __repr__(self) -> str:
        return f"GiftLocalSide({self.name!r})"

    def identify(self) -> Identity:
        # The key is accepted, too, where an unknown code has another answer than 404: the doctor tells that.
        with suppress(Rejected):
            self._client.validate(NOBODYS_CODE)
        return Identity(self.known_as, self._reading.currency, self._timezone)

    def apply(self, effect: Effect, save: Save) -> Applied:
        try:
            match effect.kind:
                case EffectKind.CREATE:
                    return self._mint(effect, save)
                case EffectKind.DEBIT:
                    return self._redeem(effect, save)
        except NotBelieved as error:
            # Raised by what is read before anything is sent.
            raise Refused(
                f"{_NAME} shows the gift in a form that is not known: {error}", Refusal.UNREADABLE
            ) from None
        raise self._cannot()

    def find(self, effect: Effect) -> FindResult:
        if effect.kind is EffectKind.CREATE:
            return self._find_minted(effect)
        before, gift_id = effect.progress.get("before_minor"), effect.progress.get("gift")
        if not before or gift_id is None:
            return NotFound()
        try:
            gift = self._gift(effect.card)
            value = None if gift is None else gift.value_minor(self._reading.spent_reasons)
        except NotBelieved as error:
            return CannotTell(str(error))
        if value is None:
            return CannotTell(f"{_NAME} shows the gift no more")
        if value == int(before):
            if int(effect.progress.get("attempts", "1")) >= ATTEMPTS_MAX:
                return CannotTell("the gift holds as much as before, and was asked for twice already")
            return NotFound()
        if value == int(before) - effect.amount_minor and self._habits.believes_balance:
            return Found(1, gift_id)
        return CannotTell("the gift was used meanwhile, and its redemptions carry no mark")

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        raise ValueError(f"{_NAME} has no feed {feed!r}")

    # Reading.

    def _seen(self, card: CardRef, at: datetime, *, entries: bool, urgent: bool) -> Seen | None:
        gift = self._gift(card)
        return None if gift is None or card.serial is None else gift.seen(card.serial, self._reading, at)

    def _gift(self, ref: CardRef) -> Gift | None:
        """The gift by its code: it cannot be asked for by its id. Raises NotBelieved."""
        if ref.serial is None:
            if ref.native_id is None:
                return None
            raise NotBelieved("its code is not known, and a gift is read by nothing else")
        try:
            answer = self._client.validate(ref.serial)
        except (CodeUnfit, Rejected) as error:
            raise NotBelieved(str(error)) from None
        gift = None if answer is None else read_gift(answer, self._reading)
        if gift is not None and ref.native_id not in (None, gift.id):
            raise NotBelieved("another gift answers to its code")
        return gift

    # Writing.

    def _redeem(self, effect: Effect, save: Save) -> Applied:
        gift = self._gift(effect.card)
        if gift is None:
            raise Refused(f"{_NAME} has no such gift", Refusal.NOT_FOUND)
        if gift.kind:
            raise Refused(f"it is a gift of another kind: {gift.kind}", Refusal.OTHER, gift.id)
        self._check_holds(gift, effect.amount_minor)
        before = gift.eligible_minor
        attempts = int(effect.progress.get("attempts", "0"))
        save({"gift": gift.id, "before_minor": str(before), "attempts": str(attempts + 1)})
        # What surely did not happen must not be taken for what a customer does later.
        untried = {"before_minor": "", "attempts": str(attempts)}
        try:
            said = self._client.redeem(gift.id, self._number(effect.amount_minor))
        except (Throttled, NotSent, SideClosed):
            save(untried)
            raise
        except Rejected as error:
            save(untried)
            raise self._refusal(error, effect) from None
        if said is None:
            save(untried)
            raise Refused(f"{_NAME} has no such gift", Refusal.NOT_FOUND)
        after = self._after(effect, before)
        return Applied(gift.id, after, self._redemption_id(said, gift.id))

    def _after(self, effect: Effect, before: int) -> int:
        """What the gift holds after a redemption, which may have taken less than it was asked for.

        Whether Gift Local refuses more than a gift holds, or takes what there is, is not published. So what
        emptied the gift, and not by this redemption alone, is in doubt.
        """
        try:
            gift = self._gift(effect.card)
            after = None if gift is None else gift.value_minor(self._reading.spent_reasons)
        except (SideError, NotBelieved) as error:
            raise InDoubt(f"the redemption was answered, and the gift not read afterwards: {error}") from None
        if after is None or (after != before - effect.amount_minor and after == 0):
            raise InDoubt("the gift was emptied by somebody else as well")
        return after

    def _check_holds(self, gift: Gift, amount_minor: int) -> None:
        """Raises Refused for more than was validated just now."""
        if not gift.redeemable:
            try:
                gift.value_minor(self._reading.spent_reasons)
            except NotBelieved as error:
                raise Refused(str(error), Refusal.NOT_ACTIVE, gift.id) from None
        if gift.eligible_minor < amount_minor:
            raise Refused("the gift holds less", Refusal.INSUFFICIENT_FUNDS, gift.id)

    def _refusal(self, error: Rejected, effect: Effect) -> Refused:
        """Why, by what the gift shows: the words of a refusal are not published."""
        try:
            gift = self._gift(effect.card)
            if gift is None:
                return Refused(f"{_NAME} has no such gift", Refusal.NOT_FOUND)
            self._check_holds(gift, effect.amount_minor)
        except Refused as refused:
            return refused
        except (SideError, NotBelieved):
            pass  # It said no for certain; why is told by the next look.
        return Refused(f"{error} and the gift shows no reason", Refusal.OTHER)

    def _redemption_id(self, said: dict[str, Any], gift_id: str) -> str | None:
        reversal = self._habits.reversal
        ids = {name: value for name, value in guids_in(said) if value != gift_id}
        if reversal is not None:
            return ids.get(reversal.field)
        return next(iter(ids.values())) if len(ids) == 1 else None

    def _mint(self, effect: Effect, save: Save) -> Applied:
        if self._minting is None:
            raise Refused(f"{_NAME} {self.capabilities.why_no_creates}", Refusal.MISSING_DETAIL)
        asked = int(effect.progress.get("asked", "0")) + 1
        save({"asked": str(asked)})
        try:
            said = self._client.mint(self._number(effect.amount_minor), effect.marker, self._minting)
        except Rejected as error:
            raise Refused(f"{error} to a gift of this value", Refusal.OTHER) from None
        try:
            gift = minted(said, self._reading)
        except NotBelieved as error:
            raise InDoubt(f"the new gift is not known in this form: {error}") from None
        is_earlier = asked > 1 and self._habits.mints_once
        if gift.eligible_minor != effect.amount_minor and not is_earlier:
            raise InDoubt("the new gift holds another amount than was asked for")
        # One that an earlier attempt made may have been used since: the next look tells.
        return Applied(gift.id, serial=gift.code)

    def _find_minted(self, effect: Effect) -> FindResult:
        """Nothing lists gifts. One whose code was lost with the answer can be spent by nobody."""
        asked = int(effect.progress.get("asked", "0"))
        may_again = self._habits.mints_once or self._habits.mints_again
        if not asked or (may_again and asked < MINTS_MAX):
            return NotFound()
        return CannotTell(
            f"{_NAME} does not show whether a gift was made for the external transaction {effect.marker}"
        )

    def _number(self, minor: int) -> float:
        """An amount as the JSON number that Gift Local takes: the shortest text that means it exactly."""
        return float(decimal_from_minor(minor, self._reading.currency))
