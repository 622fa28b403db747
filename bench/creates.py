"""Creating cards live: how much of what the shop allows is used, and how often it says no.

    TEST_BENCH_CREATES=5000 python -m bench creates     # at full scale: nine minutes on the standard plan

The import's own way (`sent` for a group, calls by many threads, outcomes for a group) against the emulator in
another process, with 100 ms before every answer, on two plans. The shop's bucket is empty at the beginning;
what is measured is the share of the points that it gives out until the last answer. Then a plain loop with
the ShopifyAPI library makes cards in the same shop for a while.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import shopify as library

from bench.importing import LATENCY_MS, Timed, emulator, import_cards
from connectors.shopify import ShopifySide
from connectors.shopify.side import VERSIONS
from sync.importer.apply import Mode

CREATES = int(os.environ.get("TEST_BENCH_CREATES", "0"))
#: About half a minute each, unless told otherwise.
COUNTS = {"standard": CREATES or 300, "plus": CREATES or 2_500}
LOOP_SECONDS = 10.0
SHARE_MIN = 0.97
THROTTLED_MAX = 0.001
_CREATE = """mutation ($input: GiftCardCreateInput!) {
  giftCardCreate(input: $input) { giftCard { id } userErrors { message } }
}"""


def main() -> None:
    """Two lines for each plan: ours, and the plain loop."""
    for plan, count in COUNTS.items():
        with emulator(plan, LATENCY_MS) as side, tempfile.TemporaryDirectory() as folder:
            timed = Timed(side)
            import_cards(Path(folder), timed, count, Mode.LIVE)
            pace = side.bulk.pace()
            given = timed.points_at_first + pace.restore_points_per_second * timed.seconds
            share, ours = count * pace.create_points / given, count / timed.seconds
            used = side.usage()
            print(
                f"{plan}, {LATENCY_MS} ms: {count:,} cards in {timed.seconds:.1f} s, {share:.1%} of the "
                f"points that the shop gave out (bound {SHARE_MIN:.0%}); {used.throttled} of {used.calls:,} "
                f"answers throttled, {used.throttled / used.calls:.2%} (bound {THROTTLED_MAX:.1%})"
            )
            theirs = _plain_loop(side)
            print(
                f"{plan}: a plain loop with ShopifyAPI makes {theirs:.1f} cards/s and giftsync {ours:.1f}, "
                f"{ours / theirs:.1f} times as many"
            )


def _plain_loop(side: ShopifySide) -> float:
    """Cards a second, made one after the other as the library's documentation shows it."""
    http = side._http
    library.ShopifyResource.set_site(f"{http.base_url}/admin/api/{VERSIONS[0]}")
    library.ShopifyResource.set_headers({"X-Shopify-Access-Token": side._token()})
    made, began = 0, time.perf_counter()
    while time.perf_counter() - began < LOOP_SECONDS:
        money = {"amount": "100", "currencyCode": "NOK"}
        wanted = {"code": f"plainloop{made:08d}", "initialAmount": money}
        answer = json.loads(library.GraphQL().execute(_CREATE, {"input": wanted}))
        if answer.get("data", {}).get("giftCardCreate", {}).get("giftCard"):
            made += 1
    return made / (time.perf_counter() - began)
