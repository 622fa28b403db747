"""Promises of a presence: what its shadow has of intents that have not happened yet."""

from __future__ import annotations

from dataclasses import replace

from connectors.api.effect import EffectKind
from sync.model import Intent, IntentState, Presence


def is_untried(intent: Intent) -> bool:
    """Whether surely nothing of it has reached the side."""
    return intent.state is IntentState.PLANNED and not intent.doubted


def without(p: Presence, intent: Intent) -> Presence:
    return replace(p, open_intents=tuple(i for i in p.open_intents if i.marker != intent.marker))


def withdraw(p: Presence, intent: Intent) -> Presence:
    """The presence without the promise of an intent that has not happened."""
    p = replace(without(p, intent), shadow_minor=p.shadow_minor - intent.amount_minor)
    if intent.kind is EffectKind.SET_STATUS and intent.status_before is not None:
        return replace(p, shadow_status=intent.status_before)
    if intent.kind is EffectKind.SET_EXPIRY:
        return replace(p, shadow_expires_on=intent.expires_before)
    return p
