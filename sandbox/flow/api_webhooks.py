"""CRUD of webhook transports (flow.md §6). The secrets of a transport are never answered."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from sandbox.flow.call import Answer, Call
from sandbox.flow.catalog import Permission
from sandbox.flow.errors import bad_request, not_found
from sandbox.flow.values import Fields
from sandbox.flow.webhooks import SECURITY_BASIC, SECURITY_BEARER, SECURITY_TYPES, Transport
from sandbox.flow.world import World

_KEYS = frozenset({"headers", "name", "securityType", "token", "username", "password", "url"})


def list_transports(world: World, call: Call) -> Answer:
    call.require(Permission.TENANT_ADMIN)
    return call.page_of([_json(transport) for transport in world.webhooks.transports.values()])


def add_transport(world: World, call: Call) -> Answer:
    call.require(Permission.TENANT_ADMIN)
    transport = _read(call, world.webhooks.new_uid())
    world.webhooks.transports[transport.uid] = transport
    return Answer(201, _json(transport))


def get_transport(world: World, call: Call) -> Answer:
    call.require(Permission.TENANT_ADMIN)
    return Answer(200, _json(_find(world, call)))


def put_transport(world: World, call: Call) -> Answer:
    """Replaces the transport as a whole."""
    call.require(Permission.TENANT_ADMIN)
    transport = _read(call, _find(world, call).uid)
    world.webhooks.transports[transport.uid] = transport
    return Answer(200, _json(transport))


def delete_transport(world: World, call: Call) -> Answer:
    call.require(Permission.TENANT_ADMIN)
    del world.webhooks.transports[_find(world, call).uid]
    return Answer(204)


def _find(world: World, call: Call) -> Transport:
    transport = world.webhooks.transports.get(call.ids["httpTransportUid"])
    if transport is None:
        raise not_found("httptransport")
    return transport


def _read(call: Call, uid: str) -> Transport:
    fields = call.fields(_KEYS)
    security = fields.choice("securityType", SECURITY_TYPES)
    if security == SECURITY_BEARER and not fields.text("token"):
        raise bad_request("token must not be empty")
    if security == SECURITY_BASIC and not (fields.text("username") and fields.text("password")):
        raise bad_request("username and password must not be empty")
    return Transport(
        uid=uid,
        name=fields.text("name"),
        url=_loopback_url(fields),
        security=security,
        token=fields.text("token", ""),
        username=fields.text("username", ""),
        password=fields.text("password", ""),
        headers=tuple(fields.pairs("headers").items()),
    )


def _loopback_url(fields: Fields) -> str:
    """The sandbox talks to loopback only, whatever it is told."""
    url = fields.text("url")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or parts.scheme not in ("http", "https"):
        raise bad_request("url must be an http or https address on loopback")
    return url


def _json(transport: Transport) -> dict[str, object]:
    return {
        "httpTransportUid": transport.uid,
        "name": transport.name,
        "url": transport.url,
        "securityType": transport.security,
        "username": transport.username,
        "headers": [{"key": key, "value": value} for key, value in transport.headers],
    }
