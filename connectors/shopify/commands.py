"""`giftsync shopify install|token`."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from connectors.api.commands import (
    CommandHost,
    CommandOutput,
    ConfigOption,
    ConfiguredSide,
    JsonOption,
    SideOption,
)
from connectors.api.doctor import Expectations
from connectors.api.errors import SideError
from connectors.api.tokens import AccessToken
from connectors.shopify.access import token_desk, token_shelf
from connectors.shopify.section import ShopifySection

if TYPE_CHECKING:
    from connectors.shopify.install import Installation

PORT = 8723
#: Nobody takes longer to say yes; the code in the answer lives for a minute or so.
WAIT_SECONDS_MAX = 900.0
LOOK_SECONDS = 0.2


def section_of(side: ConfiguredSide) -> ShopifySection:
    """The side's own settings."""
    assert isinstance(side.section, ShopifySection)  # noqa: S101 the host gives sides of this type only
    return side.section


@dataclass
class Attempt:
    """One installation under way: what Shopify's answer leads to."""

    side: ConfiguredSide
    installation: Installation
    done: threading.Event = field(default_factory=threading.Event)
    token: AccessToken | None = None
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def permission_url(self) -> str:
        """The address at which the shop's owner says yes."""
        from connectors.shopify.scopes import needed_scopes

        scopes = needed_scopes(notifies=section_of(self.side).send_notifications)
        return self.installation.permission_url(scopes)

    def finish(self, query: Sequence[tuple[str, str]]) -> tuple[bool, str]:
        """Check the answer, exchange its code, and keep the token before anything uses it."""
        from connectors.shopify.install import NotShopify

        with self._mutex:
            if self.done.is_set():
                return False, "This installation is finished already. You can close this window."
            try:
                code = self.installation.code_of(query, self.side.context.clock())
            except NotShopify as error:
                return False, f"The answer was not accepted: {error}."
            desk = token_desk(section_of(self.side))
            try:
                self.token = self._keep(desk.for_code(code))
            except SideError as error:
                return False, f"No access token could be had: {error}. Start again."
            finally:
                desk.http.close()
            self.done.set()
            return True, "giftsync is installed in the shop. You can close this window."

    def _keep(self, token: AccessToken) -> AccessToken:
        shelf = token_shelf(section_of(self.side), self.side.context)
        try:
            with shelf.lock(blocking=True):
                return shelf.save(token) or token
        finally:
            shelf.close()


def attempt_of(side: ConfiguredSide, redirect: str) -> Attempt:
    """A new installation. Raises ValueError where the settings let giftsync in by other means."""
    from connectors.shopify.install import Installation

    section = section_of(side)
    if section.auth != "install" or section.client_id is None or section.client_secret is None:
        raise ValueError(f'`auth` in [sides.{side.name}] is "{section.auth}", which needs no installation')
    secret = section.client_secret.get_secret_value()
    return Attempt(side, Installation(section.shop, section.client_id, secret, redirect, section.url))


def make_commands(host: CommandHost) -> typer.Typer:
    """The commands of this connector."""
    app = typer.Typer(help="Let giftsync into the Shopify shop.", no_args_is_help=True)

    @app.command()
    def install(
        config: ConfigOption = None,
        side: SideOption = None,
        port: Annotated[
            int, typer.Option(min=0, max=65_535, help="Where to wait for Shopify's answer; 0 takes any.")
        ] = PORT,
        host_address: Annotated[str, typer.Option("--host", help="The address to wait at.")] = "127.0.0.1",
        redirect: Annotated[
            str | None,
            typer.Option(
                metavar="URL",
                help="The address that Shopify sends the browser back to, if it is not this machine's own.",
                show_default=False,
            ),
        ] = None,
        as_json: JsonOption = False,
    ) -> None:
        """Install the app in the shop: open the printed address, say yes, and the tokens are kept here."""
        _install(host, config, side, (host_address, port), redirect, host.output(as_json=as_json))

    @app.command()
    def token(config: ConfigOption = None, side: SideOption = None, as_json: JsonOption = False) -> None:
        """How giftsync is let into the shop, with which scopes, and for how long; never the token itself."""
        _token(host, config, side, host.output(as_json=as_json))

    return app


def _install(
    host: CommandHost,
    config: Path | None,
    name: str | None,
    address: tuple[str, int],
    redirect: str | None,
    output: CommandOutput,
) -> None:
    # This takes a quarter of a second to import, which every other command would pay.
    from connectors.shopify.callback import CALLBACK_PATH, create_callback

    side = host.side(config, name)
    attempt: Attempt | None = None

    def finish(query: Sequence[tuple[str, str]]) -> tuple[bool, str]:
        return (False, "Not ready yet.") if attempt is None else attempt.finish(query)

    application = create_callback(finish)
    with host.stopping(output) as stop, host.serve(application, *address) as bound:
        back = redirect or f"http://{address[0]}:{bound}{CALLBACK_PATH}"
        try:
            attempt = attempt_of(side, back)
        except ValueError as error:
            remedy = 'Set `auth = "install"`, `client_id` and `client_secret` first.'
            raise host.error(str(error), remedy) from None
        output.note("Open this address in a browser that is signed in to the shop, and say yes:")
        output.note("")
        output.note(attempt.permission_url())
        output.note("")
        output.note(f"The app's settings must allow the redirect URL {back}")
        output.note("Waiting for Shopify's answer; Ctrl-C stops.")
        _wait(attempt, stop)
    if attempt.token is None:
        raise host.error("no answer came, and nothing was installed", "Run it again.")
    section = section_of(side)
    output.say(f"giftsync is installed in {section.shop}. `giftsync doctor` checks what it may do.")
    output.emit("shopify install", {"shop": section.shop, **_facts(attempt.token)})


def _wait(attempt: Attempt, stop: threading.Event) -> None:
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not attempt.done.wait(LOOK_SECONDS):
        if stop.is_set() or time.monotonic() > end:
            return
    # The browser gets its page before the server goes.
    stop.wait(LOOK_SECONDS)


def _token(host: CommandHost, config: Path | None, name: str | None, output: CommandOutput) -> None:
    side = host.side(config, name)
    section = section_of(side)
    kind = section.auth
    if kind == "token":
        scopes = _granted(host, config, side)
        output.facts([("Kind", _KINDS[kind]), ("Scopes", ", ".join(scopes)), ("Expires", "never")])
        output.emit("shopify token", {"kind": kind, "scopes": scopes, "expires_at": None, "stored": False})
        return
    shelf = token_shelf(section, side.context)
    try:
        kept = shelf.load()
    except SideError as error:
        raise host.error(f"{side.name}: {error}", getattr(error, "remedy", "")) from error
    finally:
        shelf.close()
    if kept is None:
        remedy = (
            "Run `giftsync shopify install`."
            if kind == "install"
            else "giftsync obtains it when it first needs it, as for `giftsync doctor`."
        )
        raise host.error(f"there is no access token for {section.shop} yet", remedy)
    now = side.context.clock()
    lines = [
        ("Kind", _KINDS[kind]),
        ("Scopes", ", ".join(kept.scopes)),
        ("Had", host.when(kept.obtained_at, side.zone)),
        ("Expires", _until(host, kept.expires_at, side.zone, now)),
    ]
    if kept.refresh is not None:
        lines.append(("Can be renewed", f"until {_until(host, kept.refresh_expires_at, side.zone, now)}"))
    output.facts(lines)
    output.emit("shopify token", {"kind": kind, "stored": True, **_facts(kept)})


_KINDS = {
    "token": "a permanent Admin API access token, from the configuration",
    "client_credentials": "had with the app's client id and secret, and asked for again before it expires",
    "install": "had by an installation, and renewed before it expires",
}


def _granted(host: CommandHost, config: Path | None, side: ConfiguredSide) -> list[str]:
    """The scopes of a permanent token, which only Shopify knows."""
    with host.open(config, side.name) as opened:
        examinable = opened.abilities.examinable
        if examinable is None:
            return []
        found = examinable.examine(Expectations(side.context.currency, side.context.timezone))
    scopes = next((one.evidence["scopes"] for one in found.findings if "scopes" in one.evidence), None)
    if scopes is None:
        first = found.findings[0]
        raise host.error(f"{side.name}: {first.sentence}", first.remedy)
    return str(scopes).split(",")


def _facts(token: AccessToken) -> dict[str, object]:
    return {
        "scopes": list(token.scopes),
        "obtained_at": token.obtained_at,
        "expires_at": token.expires_at,
        "renewable": token.refresh is not None,
        "renewable_until": token.refresh_expires_at,
    }


def _until(host: CommandHost, moment: datetime | None, zone: ZoneInfo, now: datetime) -> str:
    if moment is None:
        return "never"
    seconds = (moment - now).total_seconds()
    if seconds <= 0:
        return f"{host.when(moment, zone)} (expired; renewed when it is next needed)"
    if seconds < 7200:
        left = _count(round(seconds / 60), "minute")
    elif seconds < 172_800:
        left = _count(round(seconds / 3600), "hour")
    else:
        left = _count(round(seconds / 86_400), "day")
    return f"{host.when(moment, zone)} (in {left})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
