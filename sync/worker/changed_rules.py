"""The settings have changed since the last start: what they leave to be done is looked at again.

Nothing else would tell: no side has news of a card that may be written now, and was not to be before.
"""

from __future__ import annotations

from sync.ledger.cards.due import make_out_of_step_due
from sync.ledger.database.marks import read_mark, save_mark
from sync.ledger.sides.own_dates import save_own_dates
from sync.model import LinkRules, SideRules
from sync.reconcile.work import Link

#: The rules of the last start.
RULES = "rules"


def reconsider_after_rule_change(link: Link) -> int:
    """Have every card worked on that is not in step, if the rules are not those of the last start.

    Returns how many these are.
    """
    engine, now = link.store.engine, link.clock()
    words, before = _words(link.rules), read_mark(engine, RULES)
    if before == words:
        return 0
    # First: a side that takes dates from now on has cards that are out of step.
    save_own_dates(engine, link.rules.own_dates, now)
    due = 0 if before is None else make_out_of_step_due(engine, now)
    save_mark(engine, RULES, words, now)
    return due


def _words(rules: LinkRules) -> str:
    """The rules as a text that is the same whenever they are."""
    sides = ";".join(f"{name}:{_of_side(rules.sides[name])}" for name in sorted(rules.sides))
    return f"{sides};{rules.closing};{rules.overdraft}"


def _of_side(rules: SideRules) -> str:
    flags = [name for name, value in sorted(vars(rules).items()) if value is True]
    return ",".join([*flags, *sorted(rules.sets_status), rules.suspends_as])
