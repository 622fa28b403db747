"""The pages: a module and its template each."""

from __future__ import annotations

from console.pages import (
    activity,
    cards,
    conflicts,
    imports,
    live,
    oidc,
    overview,
    passkeys,
    people,
    reports,
    sessions,
    settings,
    sign_in,
)

PAGES = (
    *overview.PAGES,
    *cards.PAGES,
    *conflicts.PAGES,
    *imports.PAGES,
    *reports.PAGES,
    *activity.PAGES,
    *people.PAGES,
    *passkeys.PAGES,
    *sessions.PAGES,
    *settings.PAGES,
    *sign_in.PAGES,
    *oidc.PAGES,
)

__all__ = ["PAGES", "live"]
