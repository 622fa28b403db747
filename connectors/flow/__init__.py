"""Flow Retail (Flow Gift Card) as a side: `FlowSide`, configured by `FlowSettings`.

Flow publishes two gift-card calls, a read and a change that cannot set the balance. Money therefore moves
through orders and their settlements, and everything about that is inferred until a probe has proved it: each
inferred behaviour is a setting that is off by default (flow.md §5, §9).
"""

from connectors.flow.settings import FlowSettings
from connectors.flow.side import FlowSide

__all__ = ["FlowSettings", "FlowSide"]
