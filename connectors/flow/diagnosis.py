"""What is said about inferred behaviour and about what it leaves the link able to do. Pure."""

from __future__ import annotations

from typing import Final

from connectors.api.capabilities import Capabilities
from connectors.api.doctor import Expectations, Finding, Verdict
from connectors.flow.inferred import Inferred, missing_needs
from connectors.flow.settings import FlowSettings
from mappings.sentences import both, marked, say

_REMEDY_PROBE: Final = say("`giftsync doctor --probe --card NUMBER` tries it on a test card.")
_ASK_FLOW: Final = marked("Ask Flow's support; once it is sure, set `{setting} = true` in the side's table.")


def inferred(one: Inferred, settings: FlowSettings, wanted: Expectations) -> Finding:
    """One inferred behaviour: whether it is on, why, and what is to be done about it."""
    point, known = f"inferred.{one.setting}", wanted.known.get(one.setting)
    on, missing = getattr(settings, one.setting), missing_needs(settings, one)
    proved = known is not None and known.verdict is Verdict.OK
    if known is not None and known.verdict is Verdict.WARNING:
        words = say("The probe of {day} showed otherwise: {what}", day=known.at.date(), what=known.sentence)
        disable = say("Set `{setting} = false` in the side's table, and ask Flow.", setting=one.setting)
        return Finding(point, Verdict.WARNING, words, disable if on else "", {"on": on, "proved": False})
    evidence = {"on": on, "proved": proved}
    if on:
        why = (
            say("proved on {day}", day=known.at.date())
            if proved and known is not None
            else say("vouched for in the side's table")
        )
        return Finding(
            point,
            Verdict.OK,
            say("On, {why}: {claim}. So giftsync can {allows}.", why=why, claim=one.claim, allows=one.allows),
            "",
            evidence,
        )
    if one.setting == "empty_answer_means_absent":
        # Most tenants answer 404, and then nothing is lost.
        return Finding(
            point, Verdict.OK, say("Off, which does no harm: that {claim}.", claim=one.claim), "", evidence
        )
    remedy = _REMEDY_PROBE if one.provable else say(_ASK_FLOW, setting=one.setting)
    if missing:
        remedy = say(
            "Set {settings} in the side's table first. {then}",
            settings=both(f"`{name}`" for name in missing),
            then=remedy,
        )
    return Finding(
        point,
        Verdict.WARNING,
        say(
            "Off: nobody has shown that {claim}. Until then giftsync cannot {allows}.",
            claim=one.claim,
            allows=one.allows,
        ),
        remedy,
        evidence,
    )


def directions(can: Capabilities) -> Finding:
    """Summary of the writes that the link may make in Flow."""
    able = [
        words
        for is_on, words in (
            (can.debits, say("debit")),
            (can.credits, say("credit")),
            (can.creates, say("create")),
        )
        if is_on
    ]
    evidence = {"debits": can.debits, "credits": can.credits, "creates": can.creates}
    if not able:
        return Finding(
            "directions",
            Verdict.WARNING,
            say(
                "Until then the link runs Shopify-ward only: what happens in the store reaches Shopify, and "
                "what happens online does not reach the store."
            ),
            say("Prove or vouch for the behaviours above."),
            evidence,
        )
    if len(able) < 3:
        lacking = [word for word in (say("debit"), say("credit"), say("create")) if word not in able]
        return Finding(
            "directions",
            Verdict.WARNING,
            say(
                "In Flow the link can {able} cards, and cannot {lacking} them.",
                able=both(able),
                lacking=lacking[0]
                if len(lacking) == 1
                else say("{first} or {second}", first=lacking[0], second=lacking[1]),
            ),
            say("Prove or vouch for the behaviours above."),
            evidence,
        )
    return Finding("directions", Verdict.OK, say("The link runs both ways."), evidence=evidence)
