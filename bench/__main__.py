"""`python -m bench [name …]`: runs the named benchmarks, or every one."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench
from bench.processes import end_on_signals


def main(names: list[str]) -> int:
    """Run each benchmark's `main()`; modules without one only help others."""
    known = sorted(
        module.name for module in pkgutil.iter_modules(bench.__path__) if module.name != "__main__"
    )
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 3
    end_on_signals()
    for name in names or known:
        run = getattr(importlib.import_module(f"bench.{name}"), "main", None)
        if run is not None:
            print(f"== {name}", flush=True)
            run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
