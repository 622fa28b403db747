"""Shopify's bulk operations: all cards in one query, many creates from one file (shopify.md §7)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from connectors.api.bulk import LineOutcome, Listed, ListedCards, ListState, MassState, Pace
from connectors.api.effect import Applied, Effect
from connectors.api.errors import InDoubt, SideClosed, SideError, Throttled
from connectors.kit.files import FileStore
from connectors.kit.strict_json import NotJson, read_json
from connectors.shopify import operations
from connectors.shopify.answers import error_of_body
from connectors.shopify.bucket import Priority
from connectors.shopify.client import ShopifyClient
from connectors.shopify.feeds import NEW_CARDS, card_hint
from connectors.shopify.list_lines import listed_cards
from connectors.shopify.mapping import create_input, is_card_id, marker_of, money_of, seen_of
from connectors.shopify.operations import Operation
from connectors.shopify.refusals import refusal_of, user_errors
from connectors.shopify.shape import (
    Json,
    Misshapen,
    as_object,
    list_of,
    object_of,
    objects_of,
    optional_object,
    optional_text,
    text_of,
)
from mappings.money import MoneyError

#: Far below the 100 MB that a file may have, and a batch whose outcome comes back within minutes.
LINES_MAX: Final = 25_000
CREATE_POINTS: Final = 10.0
POLL_SECONDS_MIN: Final = 0.1
POLL_SECONDS_MAX: Final = 5.0
#: A bulk operation must end within 24 hours.
OPERATION_SECONDS_MAX: Final = 86_400.0
BUSY_SECONDS: Final = 10.0
_FILENAME: Final = "giftsync.jsonl"
#: The tag of a list that is waited for on the spot, and so never looked for.
_ALL: Final = "now"
_OVER: Final = frozenset({"COMPLETED", "FAILED", "CANCELED", "EXPIRED"})


class ShopifyBulk:
    """Lists cards and makes many. Thread-safe. Implements `Lister`, `Catalogue` and `MassCreator`."""

    def __init__(
        self,
        client: ShopifyClient,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._clock = clock
        self._pause = pause
        self._monotonic = monotonic
        self._files = FileStore(pause)

    # Listing.

    def list_cards(self, on_progress: Callable[[int], None]) -> Iterator[Listed]:
        """Every gift card of the shop. Raises InDoubt when Shopify does not finish or answers nonsense."""
        operation = self.order_list(_ALL)
        self._wait(operation, on_progress)
        return self._listed(self._list_url(operation))

    def order_list(self, tag: str) -> str:
        """See `Catalogue.order_list`."""
        payload = self._run(operations.RUN_BULK_QUERY, {"query": operations.list_in_bulk(tag)})
        return text_of(object_of(payload, "bulkOperation"), "id")

    def find_list(self, tag: str) -> str | None:
        return self._find(operations.list_name(tag))

    def list_state(self, operation: str) -> ListState:
        status = text_of(self._read(operation), "status")
        if status not in _OVER:
            return ListState.GATHERING
        return ListState.READY if status == "COMPLETED" else ListState.LOST

    def read_list(self, operation: str, skip: int = 0) -> Iterator[ListedCards]:
        """See `Catalogue.read_list`."""
        url = self._list_url(operation)
        return map(listed_cards, _without(self._files.blocks(url), skip)) if url else iter(())

    def _list_url(self, operation: str) -> str | None:
        """Where the list is; None: it is empty. Raises InDoubt when there is none."""
        over = self._read(operation)
        if text_of(over, "status") != "COMPLETED":
            raise InDoubt(f"Shopify's list of cards ended as {text_of(over, 'status')}; run it again")
        return optional_text(over, "url")

    def _listed(self, url: str | None) -> Iterator[Listed]:
        at = self._clock()
        for line in self._files.lines(url) if url else ():
            node = _json(line)
            try:
                yield Listed(seen_of(node, at), optional_object(node, "order") is not None)
            except MoneyError as error:
                raise Misshapen(f"Shopify lists a card whose balance cannot be read: {error}") from None

    def details_of(self, native_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Order and shipping name of cards that were bought; asked when a card is met, and not before."""
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(native_ids), operations.PAGE_MAX):
            ids = [one for one in native_ids[start : start + operations.PAGE_MAX] if is_card_id(one)]
            data = self._client.read(operations.READ_ORDERS_OF_CARDS, {"ids": ids}, Priority.SWEEP)
            nodes = list_of(data, "nodes")
            for node in nodes:
                hint = None if node is None else card_hint(as_object(node, "nodes"), NEW_CARDS)
                if hint is not None and hint.details:
                    found[hint.card.native_id or ""] = dict(hint.details)
        return found

    def creation_limit(self) -> tuple[int, str] | None:
        data = self._client.read(operations.CARD_LIMITS, {})
        configuration = optional_object(data, "giftCardConfiguration")
        return None if configuration is None else money_of(configuration, "issueLimit")

    # Making many.

    @property
    def lines_max(self) -> int:
        return LINES_MAX

    def pace(self) -> Pace:
        limits = self._client.limits
        return Pace(CREATE_POINTS, limits.restore_points_per_second, limits.available_points)

    def upload(self, effects: Sequence[Effect]) -> str:
        """Stage the creates. Codes are in the file: it is sent from memory and never touches the disk."""
        version = self._client.version
        content = b"".join(
            json.dumps({"input": create_input(effect, version)}, separators=(",", ":")).encode() + b"\n"
            for effect in effects
        )
        staged = self._run(operations.STAGE_UPLOAD, {"input": [_upload_input()]})
        targets = objects_of(staged, "stagedTargets")
        if len(targets) != 1:
            raise Misshapen("Shopify names another number of upload targets than was asked for")
        fields = [(text_of(p, "name"), text_of(p, "value")) for p in objects_of(targets[0], "parameters")]
        self._files.post_form(text_of(targets[0], "url"), fields, _FILENAME, content)
        path = dict(fields).get("key")
        if path is None:
            raise Misshapen("Shopify's upload target has no key")
        return path

    def start(self, tag: str, path: str) -> str:
        document = operations.create_in_bulk(tag)
        payload = self._run(operations.RUN_BULK_MUTATION, {"mutation": document, "path": path})
        return text_of(object_of(payload, "bulkOperation"), "id")

    def find_started(self, tag: str) -> str | None:
        return self._find(operations.bulk_name(tag))

    def _find(self, name: str) -> str | None:
        """Among the newest operations, the one whose document has that name."""
        data = self._client.read(operations.RECENT_BULKS, {"first": operations.RECENT_BULKS_MAX})
        for one in objects_of(object_of(data, "bulkOperations"), "nodes"):
            if name in text_of(one, "query"):
                return text_of(one, "id")
        return None

    def state(self, operation: str) -> MassState:
        found = self._read(operation)
        done = text_of(found, "rootObjectCount")
        return MassState(_count(done), text_of(found, "status") in _OVER)

    def outcomes(self, operation: str) -> Iterator[LineOutcome]:
        """Every line that Shopify tells of, also of an operation that failed or was cancelled half-way."""
        found = self._read(operation)
        url = optional_text(found, "url") or optional_text(found, "partialDataUrl")
        for line in self._files.lines(url) if url else ():
            outcome = _outcome(_json(line))
            if outcome is not None:
                yield outcome

    # What both share.

    def _run(self, operation: Operation, variables: dict[str, Any]) -> Json:
        payload = self._client.change(operation, variables)
        errors = user_errors(payload)
        if not errors:
            return payload
        codes = {error.code for error in errors}
        if "OPERATION_IN_PROGRESS" in codes:
            raise Throttled("Shopify runs as many bulk operations as it allows", BUSY_SECONDS)
        code = next((c for c in sorted(map(str, codes)) if c.isascii() and c.isupper()), "no code")
        raise SideClosed(
            f"Shopify refused a bulk operation ({code})",
            "Import without bulk operations (--live), and tell the makers of giftsync.",
        )

    def _read(self, operation: str) -> Json:
        data = self._client.read(operations.READ_BULK, {"id": operation})
        return object_of(data, "bulkOperation")

    def _wait(self, operation: str, on_progress: Callable[[int], None]) -> Json:
        """Ask until it is over, ever less often; raises InDoubt when it takes longer than it may."""
        until, seconds = self._monotonic() + OPERATION_SECONDS_MAX, POLL_SECONDS_MIN
        while self._monotonic() < until:
            found = self._read(operation)
            done = text_of(found, "objectCount")
            on_progress(_count(done))
            if text_of(found, "status") in _OVER:
                return found
            self._pause(seconds)
            seconds = min(seconds * 1.5, POLL_SECONDS_MAX)
        raise InDoubt("Shopify does not finish the list of cards")


def _without(blocks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """Blocks of whole lines without the first lines."""
    for block in blocks:
        lines = block.count(b"\n") if skip else 0
        if skip and skip >= lines:
            skip -= lines
        elif skip:
            yield b"\n".join(block.split(b"\n", skip)[skip:])
            skip = 0
        else:
            yield block


def _upload_input() -> dict[str, str]:
    return {
        "resource": "BULK_MUTATION_VARIABLES",
        "filename": _FILENAME,
        "mimeType": "text/jsonl",
        "httpMethod": "POST",
    }


def _count(text: str) -> int:
    """An UnsignedInt64, which comes as text; nought for anything else, since it only shows progress."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0


def _json(line: bytes) -> Json:
    try:
        return as_object(read_json(line), "a line of Shopify's file")
    except NotJson as error:
        raise Misshapen(f"a line of Shopify's file is not readable: {error}") from None


def _outcome(body: Json) -> LineOutcome | None:
    """What one line of a result says; None for a line that does not say which it is."""
    number = body.get("__lineNumber")
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    try:
        return LineOutcome(number, *_result(body))
    except SideError as error:
        return LineOutcome(number, None, error)


def _result(body: Json) -> tuple[str | None, Applied | SideError]:
    error = error_of_body(operations.CREATE_CARD, body)
    if error is not None:
        return None, error
    payload = object_of(object_of(body, "data"), operations.CREATE_CARD.root)
    errors, card = user_errors(payload), optional_object(payload, "giftCard")
    if errors:
        # On any error the card is null; a card beside errors is in doubt.
        return None, refusal_of(errors[0]) if card is None else InDoubt(
            "Shopify answered with card and errors"
        )
    if card is None:
        return None, InDoubt("Shopify confirmed no card")
    return marker_of(optional_text(card, "note")), Applied(text_of(card, "id"))
