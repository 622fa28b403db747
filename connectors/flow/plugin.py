"""The connector type `flow`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connectors.api.build import BuildContext
from connectors.api.plugin import ConnectorType, OldKey
from connectors.flow.section import FlowSection

if TYPE_CHECKING:
    from connectors.flow.side import FlowSide

#: What an older file's directions say, from Flow's point of view.
_DIRECTIONS: Final = {"to_pos": "in", "to_shopify": "out"}


def build(section: FlowSection, context: BuildContext) -> FlowSide:
    """The tenant's side, with everything switched on that `giftsync doctor --probe` has proved."""
    from connectors.flow.inferred import with_proved
    from connectors.flow.settings import FlowSettings
    from connectors.flow.side import PLACE, FlowSide

    settings = FlowSettings(
        tenant=section.tenant,
        store=section.store,
        token=section.token.get_secret_value(),
        own_cards=section.own_cards,
        timezone=context.timezone,
        currency=context.currency,
        base_url=section.url,
        calls_per_second=section.calls_per_second,
        debit_product_uid=section.debit_product_uid,
        gift_card_product_uids=section.gift_card_product_uids,
        default_brand=section.default_brand,
        item_number_field=section.item_number_field,
        extension_code=section.extension_code,
        number_parameter=section.number_parameter,
        cvc_parameter=section.cvc_parameter,
        refund_amounts_negative=section.refund_amounts_negative,
        return_order_type=section.return_order_type,
        status_by_active_flag=section.status_by_active_flag,
        gift_card_settlement_code=section.gift_card_settlement_code,
        external_settlement_code=section.external_settlement_code,
        gift_card_payment_method_uid=section.gift_card_payment_method_uid,
        external_payment_method_uid=section.external_payment_method_uid,
        api_settlement_debits=section.api_settlement_debits,
        api_issue_allowed=section.api_issue_allowed,
        caller_may_choose_number=section.caller_may_choose_number,
        refund_settlement_credits=section.refund_settlement_credits,
        order_settles_once=section.order_settles_once,
        empty_answer_means_absent=section.empty_answer_means_absent,
        suspended_status=section.suspended_status,
        cvc_for=context.cvc_for,
        webhook_token=section.webhook_token.get_secret_value() if section.webhook_token else "",
    )
    proved = with_proved(settings, context.proved(settings.identity))
    return FlowSide(
        proved,
        name=context.name,
        pause=context.pause,
        clock=context.clock,
        budget=context.budget,
        place=context.place(PLACE),
    )


CONNECTOR: Final = ConnectorType(
    name="flow",
    title="Flow Retail",
    section=FlowSection,
    build=build,
    webhook_keys=("webhook_token",),
    old_keys={
        "shopify_serial_prefix": OldKey("serial_prefix"),
        "excluded_brands": OldKey("excluded_brands"),
        **{
            f"directions.{name}": OldKey(f"directions.{name}", _DIRECTIONS)
            for name in ("balance", "status", "expiry")
        },
    },
)
