"""Bodies of requests by the strict reader: a name that stands twice leaves open which value is meant."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from connectors.kit.strict_json import NotJson, read_json


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            return read_json(await self.body())
        except NotJson as error:
            # The words hold nothing of the body.
            raise JSONDecodeError(str(error), "", 0) from None


class StrictRoute(APIRoute):
    """A route whose body is read exactly as it is meant, or refused as no JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly
