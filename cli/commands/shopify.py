"""`giftsync shopify install|token`."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Annotated

import typer

from cli.build import SHOPIFY, now, open_ledger
from cli.checkup import ledger_if_any
from cli.errors import OperatorError, naming
from cli.options import ConfigOption, JsonOption
from cli.output import ExitCode, Output, facts, plural, when
from cli.session import load_settings, opened_sides
from cli.signals import stop_on_signals
from cli.tokens import token_desk, token_store
from config.settings import Settings
from connectors.api.doctor import Expectations
from connectors.api.errors import SideError
from connectors.kit.tokens import AccessToken

if TYPE_CHECKING:
    from connectors.shopify.install import Installation

PORT = 8723
#: Nobody takes longer to say yes; the code in the answer lives for a minute or so.
WAIT_SECONDS_MAX = 900.0
LOOK_SECONDS = 0.2

app = typer.Typer(help="Let giftsync into the Shopify shop.", no_args_is_help=True)


@dataclass
class Attempt:
    """One installation under way: what Shopify's answer leads to."""

    settings: Settings
    installation: Installation
    done: threading.Event = field(default_factory=threading.Event)
    token: AccessToken | None = None
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, query: Sequence[tuple[str, str]]) -> tuple[bool, str]:
        """Check the answer, exchange its code, and keep the token before anything uses it."""
        from connectors.shopify.install import NotShopify

        with self._mutex:
            if self.done.is_set():
                return False, "This installation is finished already. You can close this window."
            try:
                code = self.installation.code_of(query, now())
            except NotShopify as error:
                return False, f"The answer was not accepted: {error}."
            desk = token_desk(self.settings)
            try:
                self.token = self._keep(desk.for_code(code))
            except SideError as error:
                return False, f"No access token could be had: {error}. Start again."
            finally:
                desk.http.close()
            self.done.set()
            return True, "giftsync is installed in the shop. You can close this window."

    def _keep(self, token: AccessToken) -> AccessToken:
        with open_ledger(self.settings) as ledger:
            store = token_store(self.settings, ledger)
            with store.lock(blocking=True):
                return store.save(token) or token


@app.command()
def install(
    config: ConfigOption = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Where to wait for Shopify's answer; 0 takes any.")
    ] = PORT,
    host: Annotated[str, typer.Option(help="The address to wait at.")] = "127.0.0.1",
    redirect: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The address that Shopify sends the browser back to, if it is not this machine's own.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Install the app in the shop: open the printed address, say yes, and the tokens are kept here."""
    # ShopifyAPI takes a quarter of a second to import, which every other command would pay.
    from connectors.shopify.install import Installation
    from connectors.shopify.scopes import needed_scopes
    from console.install import CALLBACK_PATH, create_callback
    from console.server import ConsoleUnavailable, serve

    output = Output(as_json)
    settings = load_settings(config)
    section = settings.shopify
    if section.auth != "install" or section.client_id is None or section.client_secret is None:
        raise OperatorError(
            f'`auth` in [shopify] is "{section.auth}", which needs no installation',
            'Set `auth = "install"`, `client_id` and `client_secret` first.',
        )
    attempt: Attempt | None = None

    def finish(query: Sequence[tuple[str, str]]) -> tuple[bool, str]:
        return (False, "Not ready yet.") if attempt is None else attempt.finish(query)

    try:
        with stop_on_signals(output.note) as stop, serve(create_callback(finish), host, port) as bound:
            back = redirect or f"http://{host}:{bound}{CALLBACK_PATH}"
            attempt = Attempt(
                settings,
                Installation(
                    section.shop,
                    section.client_id,
                    section.client_secret.get_secret_value(),
                    back,
                    section.url,
                ),
            )
            output.note("Open this address in a browser that is signed in to the shop, and say yes:")
            output.note("")
            scopes = needed_scopes(notifies=settings.link.send_notifications)
            output.note(attempt.installation.permission_url(scopes))
            output.note("")
            output.note(f"The app's settings must allow the redirect URL {back}")
            output.note("Waiting for Shopify's answer; Ctrl-C stops.")
            _wait(attempt, stop)
    except ConsoleUnavailable as error:
        raise OperatorError(str(error), "Choose another port with --port.") from None
    if attempt.token is None:
        raise OperatorError("no answer came, and nothing was installed", "Run it again.")
    output.say(f"giftsync is installed in {section.shop}. `giftsync doctor` checks what it may do.")
    output.emit("shopify install", {"shop": section.shop, **_facts(attempt.token)})
    return ExitCode.IN_STEP


def _wait(attempt: Attempt, stop: threading.Event) -> None:
    end = time.monotonic() + WAIT_SECONDS_MAX
    while not attempt.done.wait(LOOK_SECONDS):
        if stop.is_set() or time.monotonic() > end:
            return
    # The browser gets its page before the server goes.
    stop.wait(LOOK_SECONDS)


@app.command()
def token(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """How giftsync is let into the shop, with which scopes, and for how long; never the token itself."""
    output = Output(as_json)
    settings = load_settings(config)
    kind = settings.shopify.auth
    if kind == "token":
        scopes = _granted(settings)
        output.show(facts([("Kind", _KINDS[kind]), ("Scopes", ", ".join(scopes)), ("Expires", "never")]))
        output.emit("shopify token", {"kind": kind, "scopes": scopes, "expires_at": None, "stored": False})
        return ExitCode.IN_STEP
    with naming(SHOPIFY), ledger_if_any(settings) as ledger:
        kept = None if ledger is None else token_store(settings, ledger).load()
    if kept is None:
        remedy = (
            "Run `giftsync shopify install`."
            if kind == "install"
            else "It is had when it is first needed: `giftsync doctor`."
        )
        raise OperatorError(f"there is no access token for {settings.shopify.shop} yet", remedy)
    zone = settings.link.zone
    lines = [
        ("Kind", _KINDS[kind]),
        ("Scopes", ", ".join(kept.scopes)),
        ("Had", when(kept.obtained_at, zone)),
        ("Expires", _until(kept.expires_at, zone)),
    ]
    if kept.refresh is not None:
        lines.append(("Can be renewed", f"until {_until(kept.refresh_expires_at, zone)}"))
    output.show(facts(lines))
    output.emit("shopify token", {"kind": kind, "stored": True, **_facts(kept)})
    return ExitCode.IN_STEP


_KINDS = {
    "token": "a permanent Admin API access token, from the configuration",
    "client_credentials": "had with the app's client id and secret, and asked for again before it expires",
    "install": "had by an installation, and renewed before it expires",
}


def _granted(settings: Settings) -> list[str]:
    """The scopes of a permanent token, which only Shopify knows."""
    with opened_sides(settings) as sides:
        examinable = sides[SHOPIFY].abilities.examinable
        if examinable is None:
            return []
        found = examinable.examine(Expectations(settings.link.currency, settings.link.timezone))
    scopes = next((one.evidence["scopes"] for one in found.findings if "scopes" in one.evidence), None)
    if scopes is None:
        first = found.findings[0]
        raise OperatorError(f"{SHOPIFY}: {first.sentence}", first.remedy)
    return str(scopes).split(",")


def _facts(token: AccessToken) -> dict[str, object]:
    return {
        "scopes": list(token.scopes),
        "obtained_at": token.obtained_at,
        "expires_at": token.expires_at,
        "renewable": token.refresh is not None,
        "renewable_until": token.refresh_expires_at,
    }


def _until(moment: datetime | None, zone: tzinfo) -> str:
    if moment is None:
        return "never"
    seconds = (moment - now()).total_seconds()
    if seconds <= 0:
        return f"{when(moment, zone)} (expired; renewed when it is next needed)"
    if seconds < 7200:
        left = plural(round(seconds / 60), "minute")
    elif seconds < 172_800:
        left = plural(round(seconds / 3600), "hour")
    else:
        left = plural(round(seconds / 86_400), "day")
    return f"{when(moment, zone)} (in {left})"
