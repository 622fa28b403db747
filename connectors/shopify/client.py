"""Posts operations to the Admin API: once, at the pace that the shop allows, with every error sorted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from connectors.api.errors import InDoubt, NotSent, SideClosed, SideError, Throttled
from connectors.kit.http import HttpClient, retried, retry_after_seconds
from connectors.kit.renewal import TokenSource
from connectors.kit.strict_json import NotJson, read_json
from connectors.shopify.answers import (
    REMEDY_UPDATE,
    Cost,
    TokenRefused,
    cost_of,
    error_of_body,
    error_of_status,
    parts_of,
)
from connectors.shopify.bucket import CostBook, CostBucket, Priority, Reservation, ThrottleStatus
from connectors.shopify.operations import Operation
from connectors.shopify.shape import Json, Misshapen, as_object, object_of
from mappings.redaction import said

VERSION_HEADER: Final = "X-Shopify-API-Version"
VERSION_LENGTH_MAX: Final = 40
CHANGE_SECONDS_WEIGHT: Final = 0.1

Variables = Mapping[str, Any]


class ShopifyClient:
    """One shop's GraphQL endpoint. Thread-safe.

    `token` is asked before every request, so that a token that was renewed is used at once. A request that
    Shopify refused for its token did nothing, and is sent again if there is another token.
    """

    def __init__(
        self,
        http: HttpClient,
        token: TokenSource,
        version: str,
        bucket: CostBucket,
        clock: Callable[[], datetime],
        pause: Callable[[float], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.http = http
        self.version = version
        self._token = token
        self._bucket = bucket
        self._book = CostBook()
        self._clock = clock
        self._pause = pause
        self._served_version: str | None = None
        self._monotonic = monotonic
        self._change_seconds = 0.0

    def read(self, operation: Operation, variables: Variables, priority: Priority = Priority.CARD) -> Json:
        """The `data` of a query; repeated when it was not sent, throttled or unreadable."""
        if operation.changes:
            raise ValueError(f"{operation.name} changes something and is never repeated")
        return retried(lambda: self._send(operation, variables, priority), self._pause)

    def change(self, operation: Operation, variables: Variables) -> Json:
        """The payload of a mutation's root field; sent exactly once.

        Raises InDoubt unless the answer proves what happened. Judging `userErrors` is left to the caller.
        """
        data = self._send(operation, variables, Priority.CARD)
        return as_object(data.get(operation.root), operation.root)

    def change_all(
        self, operation: Operation, variables: Variables, aliases: Sequence[str]
    ) -> list[Json | SideError]:
        """For each alias of a packed mutation its payload or its error; sent exactly once.

        What is raised holds for every one of them: an unknown outcome leaves them all in doubt.
        """
        parts = parts_of(operation, self._exchange(operation, variables, Priority.CARD), aliases)
        return [self._part(operation, part) for part in parts]

    def _part(self, operation: Operation, part: Json) -> Json | SideError:
        error = error_of_body(operation, part)
        try:
            return error or object_of(object_of(part, "data"), operation.root)
        except Misshapen as misshapen:
            return misshapen

    def check_version(self) -> None:
        """Raise SideClosed when Shopify answers as another version than the one asked for (shopify.md §1).

        A retired version is silently served as the oldest one that still lives. It is checked when a side is
        identified, not at each answer: an answer that came is no proof that nothing happened.
        """
        if self._served_version not in {None, self.version}:
            raise SideClosed(
                f"Shopify answers as API version {self._served_version}, not {self.version} as asked",
                REMEDY_UPDATE,
            )

    @property
    def served_version(self) -> str | None:
        """The version that answered last; None before the first answer, or when it does not say."""
        return self._served_version

    @property
    def change_seconds(self) -> float:
        """How long a change takes from request to answer, of late; 0 before the first."""
        return self._change_seconds

    def points_of(self, operation: Operation) -> float | None:
        """What Shopify asked for the operation the last time; None before its first answer."""
        return self._book.charged(operation.name)

    @property
    def token_kind(self) -> str:
        return self._token.kind

    @property
    def limits(self) -> ThrottleStatus:
        """The shop's bucket of points, as the last answer showed it."""
        return self._bucket.limits

    def _send(self, operation: Operation, variables: Variables, priority: Priority) -> Json:
        body = self._exchange(operation, variables, priority)
        error = error_of_body(operation, body)
        if error is not None:
            raise error
        return as_object(body.get("data"), "data")

    def _exchange(self, operation: Operation, variables: Variables, priority: Priority) -> Json:
        """One request and its answer, paid for from the bucket; the answer may hold errors."""
        points = self._book.estimate(operation.name, operation.points_guess)
        reservation = self._bucket.reserve(points, priority)
        began = self._monotonic()
        try:
            body = self._post(operation, variables)
        except NotSent:
            self._bucket.settle(reservation, 0)
            raise
        except BaseException:
            self._bucket.settle(reservation, None)
            raise
        self._settle(operation, reservation, cost_of(body))
        if isinstance(error_of_body(operation, body), Throttled):
            self.http.count(throttled=1)
        if operation.changes:
            # The newest answers count most: a shop is slower at noon than at night.
            taken = self._monotonic() - began
            self._change_seconds += (taken - self._change_seconds) * CHANGE_SECONDS_WEIGHT
        return body

    def _settle(self, operation: Operation, reservation: Reservation, cost: Cost) -> None:
        """Put what the answer says of costs into the bucket, the book and the usage."""
        if cost.requested_points is not None:
            self._book.learn(operation.name, cost.requested_points)
        # A throttled request shows the bucket and has no actual cost, because it was not charged.
        used = 0 if cost.actual_points is None and cost.status is not None else cost.actual_points
        self._bucket.settle(reservation, used, cost.status)
        self.http.count(points=round(cost.actual_points or 0))

    def _post(self, operation: Operation, variables: Variables) -> Json:
        access = self._token()
        try:
            return self._post_with(access, operation, variables)
        except TokenRefused:
            if not self._token.refused(access):
                raise
        return self._post_with(self._token(), operation, variables)

    def _post_with(self, access: str, operation: Operation, variables: Variables) -> Json:
        response = self.http.request(
            "POST",
            f"/admin/api/{self.version}/graphql.json",
            json={"query": operation.document, "variables": variables, "operationName": operation.name},
            headers={"X-Shopify-Access-Token": access},
        )
        error = error_of_status(response.status_code, retry_after_seconds(response, self._clock()))
        if isinstance(error, Throttled):
            self.http.count(throttled=1)
        if error is not None:
            raise error
        served = response.headers.get(VERSION_HEADER)
        if served:
            self._served_version = said(served, VERSION_LENGTH_MAX)
        try:
            body = read_json(response.content)
        except NotJson as error:
            raise InDoubt(f"Shopify's answer is not readable: {error}") from None
        return as_object(body, "the answer")
