"""The events of a settled order, ids only and with their capital `Id` and `Uid` (flow.md §6)."""

from __future__ import annotations

from sandbox.flow.model import Order
from sandbox.flow.world import World

ORDER_SETTLED = "ORDER_SETTLED"
ORDER_RECEIPT_SETTLED = "ORDER_RECEIPT_SETTLED"


def announce_settled(world: World, order: Order) -> None:
    """Send both events of an order that has just been settled."""
    for action in (ORDER_SETTLED, ORDER_RECEIPT_SETTLED):
        world.webhooks.announce(action, _payload(world, action, order))


def _payload(world: World, action: str, order: Order) -> dict[str, object]:
    payload: dict[str, object] = {
        "action": action,
        "tenant": {"Id": int(world.tenant) if world.tenant.isdecimal() else 1, "Uid": world.tenant},
        "store": {"Id": world.stores.index(order.store) + 1, "Uid": order.store.uid},
        "order": {"Id": order.seq, "Uid": order.uid},
        "tenantUser": {"Id": order.user.number, "Uid": order.user.uid},
    }
    if action == ORDER_RECEIPT_SETTLED and world.webhooks.behaviour.receipt_event_names_receipt:
        payload["orderReceipt"] = {"Id": order.seq, "Uid": order.receipt_uid}
    return payload
