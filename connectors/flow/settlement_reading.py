"""What an order shows of the settlement that carries our marker. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connectors.flow.mapping import SettlementFate, settlement_fate
from connectors.flow.model import FlowOrder, FlowSettlement
from connectors.flow.settings import SettlementWords


@dataclass(frozen=True)
class SettlementReading:
    """What an order shows of our settlement; `fate` None: it shows none."""

    fate: SettlementFate | None
    #: Final settlements that carry the marker.
    landings: int = 0
    since: datetime | None = None


def judge(order: FlowOrder, marker: str, amount_x100: int, words: SettlementWords) -> SettlementReading:
    """What the order shows of the settlements that carry the marker; the most doubtful one decides."""
    ours = [one for one in order.settlements if one.carries(marker)]
    fates = {_fate(one, amount_x100, words): one for one in ours}
    for fate in (SettlementFate.PENDING, SettlementFate.UNKNOWN):
        if fate in fates:
            return SettlementReading(fate, since=fates[fate].created_at)
    landings = sum(_fate(one, amount_x100, words) is SettlementFate.FINAL for one in ours)
    if landings and len(order.items) != 1:
        # With a stray second item the order is settled in part, and what Flow then does is unknown.
        return SettlementReading(SettlementFate.UNKNOWN)
    if landings:
        return SettlementReading(SettlementFate.FINAL, landings)
    return SettlementReading(SettlementFate.DECLINED if ours else None)


def confirms(shown: FlowSettlement, marker: str, amount_x100: int, words: SettlementWords) -> bool:
    """Whether the answer to a settlement shows it as the order would: ours, whole and final."""
    return shown.carries(marker) and _fate(shown, amount_x100, words) is SettlementFate.FINAL


def _fate(settlement: FlowSettlement, amount_x100: int, words: SettlementWords) -> SettlementFate:
    fate = settlement_fate(settlement.state, settlement.status, words)
    if fate is SettlementFate.FINAL and abs(settlement.amount_x100) != amount_x100:
        return SettlementFate.UNKNOWN
    return fate
