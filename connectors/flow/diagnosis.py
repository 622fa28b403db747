"""What is said about inferred behaviour and about what it leaves the link able to do. Pure."""

from __future__ import annotations

from typing import Final

from connectors.api.doctor import Expectations, Finding, Verdict
from connectors.api.side import Capabilities
from connectors.flow.inferred import Inferred, missing_needs
from connectors.flow.settings import FlowSettings

_REMEDY_PROBE: Final = "`giftsync doctor --probe --card NUMBER` tries it on a test card."
_ASK_FLOW: Final = "Ask Flow's support; once it is sure, set `{setting} = true` in [flow]."


def inferred(one: Inferred, settings: FlowSettings, wanted: Expectations) -> Finding:
    """One inferred behaviour: whether it is on, why, and what is to be done about it."""
    point, known = f"inferred.{one.setting}", wanted.known.get(one.setting)
    on, missing = getattr(settings, one.setting), missing_needs(settings, one)
    proved = known is not None and known.verdict is Verdict.OK
    if known is not None and known.verdict is Verdict.WARNING:
        verdict, words = (
            Verdict.WARNING,
            f"The probe of {known.at.date()} showed otherwise: {known.sentence}",
        )
        remedy = f"Set `{one.setting} = false` in [flow], and ask Flow." if on else ""
        return Finding(point, verdict, words, remedy, {"on": on, "proved": False})
    evidence = {"on": on, "proved": proved}
    if on:
        why = f"proved on {known.at.date()}" if proved and known is not None else "vouched for in [flow]"
        return Finding(
            point, Verdict.OK, f"On, {why}: {one.claim}. So giftsync can {one.allows}.", "", evidence
        )
    if one.setting == "empty_answer_means_absent":
        # Most tenants answer 404, and then nothing is lost.
        return Finding(point, Verdict.OK, f"Off, which does no harm: that {one.claim}.", "", evidence)
    remedy = _REMEDY_PROBE if one.provable else _ASK_FLOW.format(setting=one.setting)
    if missing:
        remedy = f"Set {' and '.join(f'`{name}`' for name in missing)} in [flow] first. {remedy}"
    return Finding(
        point,
        Verdict.WARNING,
        f"Off: nobody has shown that {one.claim}. Until then giftsync cannot {one.allows}.",
        remedy,
        evidence,
    )


def directions(can: Capabilities) -> Finding:
    """What the link can do in Flow, all in all."""
    able = [
        words
        for is_on, words in (
            (can.debits, "debit"),
            (can.credits, "credit"),
            (can.creates, "create"),
        )
        if is_on
    ]
    evidence = {"debits": can.debits, "credits": can.credits, "creates": can.creates}
    if not able:
        return Finding(
            "directions",
            Verdict.WARNING,
            "Until then the link runs Shopify-ward only: what happens in the store reaches Shopify, and what "
            "happens online does not reach the store.",
            "Prove or vouch for the behaviours above.",
            evidence,
        )
    if len(able) < 3:
        lacking = [word for word in ("debit", "credit", "create") if word not in able]
        return Finding(
            "directions",
            Verdict.WARNING,
            f"In Flow the link can {' and '.join(able)} cards, but not {' or '.join(lacking)} them.",
            "Prove or vouch for the behaviours above.",
            evidence,
        )
    return Finding("directions", Verdict.OK, "The link runs both ways.", evidence=evidence)


def sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
