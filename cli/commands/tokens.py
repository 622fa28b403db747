"""`giftsync tokens add|list|revoke`: who may call the API."""

from __future__ import annotations

from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Annotated, TypedDict

import typer

from cli.build import now, open_ledger
from cli.errors import OperatorError
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, rows, table, when
from cli.session import load_settings
from sync.ledger.hub.tokens import CALLS_PER_MINUTE, ApiToken, ApiTokens

app = typer.Typer(help="Tokens of the API: each lets one caller in.", no_args_is_help=True)


class Scope(StrEnum):
    """The scopes of `console.api.access.SCOPES`, for the command line."""

    VALIDATE = "validate"
    REDEEM = "redeem"
    REVERSE = "reverse"
    ISSUE = "issue"
    LOAD = "load"
    MANAGE = "manage"
    READ = "read"


class TokenAnswer(TypedDict):
    """A token of the API; never its secret."""

    id: str
    name: str
    scopes: list[str]
    #: Where it may be used; empty: everywhere.
    locations: list[str]
    calls_per_minute: int
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    #: Its row in the ledger is not as giftsync wrote it: it opens nothing.
    altered: bool


class NewTokenAnswer(TokenAnswer):
    """A token that was just made."""

    #: The secret, shown this once.
    token: str


class TokensAnswer(TypedDict):
    """Every token."""

    tokens: list[TokenAnswer]


class RevokedAnswer(TypedDict):
    """A token that is not accepted any more."""

    id: str


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Who uses it, such as `till 3`.")],
    scope: Annotated[
        list[Scope],
        typer.Option(
            "--scope", help="What it may do; give it once for each. Left out: validate, redeem, reverse."
        ),
    ] = [],  # noqa: B006 typer reads it and never changes it
    location: Annotated[
        list[str], typer.Option("--location", help="Where it may be used; left out: everywhere.")
    ] = [],  # noqa: B006
    calls_per_minute: Annotated[
        int, typer.Option(min=1, max=100_000, help="How often it may call.")
    ] = CALLS_PER_MINUTE,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and show it once: it is kept as a hash only."""
    output = Output(as_json)
    if not name.strip() or len(name) > 64:
        raise OperatorError("a token needs a name of at most 64 characters", "Say who uses it.")
    scopes = [one.value for one in scope] or ["validate", "redeem", "reverse"]
    with open_ledger(load_settings(config)) as ledger:
        made, secret = ApiTokens(ledger.engine, ledger.vault).add(
            name.strip(), scopes, location, calls_per_minute, now()
        )
    output.say(secret)
    output.note("This is shown once. The caller sends it as `Authorization: Bearer …`.")
    output.emit("tokens add", NewTokenAnswer(**_as_json(made), token=secret))


@app.command("list")
def list_tokens(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every token, what it may do, and when it was used last."""
    output = Output(as_json)
    settings = load_settings(config)
    with open_ledger(settings) as ledger:
        found = ApiTokens(ledger.engine, ledger.vault).list()
    zone = settings.link.zone
    lines = [
        (
            one.id,
            one.name,
            ", ".join(sorted(one.scopes)),
            ", ".join(one.locations) or "everywhere",
            when(one.last_used_at, zone) or "never",
            _standing(one, zone),
        )
        for one in found
    ]
    if lines:
        output.show(rows(table("Id", "Name", "May", "Where", "Last used", ""), lines))
    else:
        output.say("No token yet. `giftsync tokens add` lets a caller in.")
    output.emit("tokens list", TokensAnswer(tokens=[_as_json(one) for one in found]))


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(help="The id, as `giftsync tokens list` shows it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """End a token at once."""
    output = Output(as_json)
    with open_ledger(load_settings(config)) as ledger:
        ended = ApiTokens(ledger.engine, ledger.vault).revoke(token, now())
    if not ended:
        raise OperatorError(f"no token {token} is in use", "`giftsync tokens list` shows them.")
    output.say(f"Token {token} is not accepted any more.")
    output.emit("tokens revoke", RevokedAnswer(id=token))
    return ExitCode.IN_STEP


def _as_json(token: ApiToken) -> TokenAnswer:
    return TokenAnswer(
        id=token.id,
        name=token.name,
        scopes=sorted(token.scopes),
        locations=list(token.locations),
        calls_per_minute=token.calls_per_minute,
        created_at=token.created_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
        altered=token.altered,
    )


def _standing(token: ApiToken, zone: tzinfo) -> str:
    """Why it opens nothing; empty: it is in use."""
    if token.altered:
        return "changed in the ledger, not by giftsync: opens nothing; revoke it, add another"
    return "" if token.revoked_at is None else f"revoked {when(token.revoked_at, zone)}"
