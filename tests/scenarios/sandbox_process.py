"""Serves both emulators in a process of its own: `python -m tests.scenarios.sandbox_process OPTIONS-AS-JSON`.

`giftsync sandbox serve` gives both sides as many cards; an import has far more in the store than online.
"""

from __future__ import annotations

import asyncio
import json
import sys

from cli.emulators import SandboxOptions, serving


async def _serve(options: SandboxOptions) -> None:
    async with serving(options) as address:
        sys.stdout.write(json.dumps(address.sides) + "\n")
        sys.stdout.flush()
        # Whoever started it closes its standard input, also by dying.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(SandboxOptions(**json.loads(sys.argv[1]))))
