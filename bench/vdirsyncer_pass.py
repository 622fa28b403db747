"""One plain pass of vdirsyncer over cards in memory: `python vdirsyncer_pass.py COUNT`.

It runs in an environment of its own and prints items, seconds and peak memory as JSON. vdirsyncer compares
two collections by a status database, as the plan of an import compares two sides: a yardstick for planning.
"""

import asyncio
import json
import resource
import sys
import tempfile
import time


def main(count: int) -> None:
    from vdirsyncer.storage.memory import MemoryStorage
    from vdirsyncer.sync import sync
    from vdirsyncer.sync.status import SqliteStatus
    from vdirsyncer.vobject import Item

    left, right = MemoryStorage(), MemoryStorage()
    for number in range(count):
        text = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{number:016d}\r\nFN:Card {number}\r\nEND:VCARD"
        left.items[f"{number}"] = (f"{number}", Item(text))
    with tempfile.TemporaryDirectory() as folder:
        status = SqliteStatus(f"{folder}/status.db")
        began, cpu_began = time.perf_counter(), time.process_time()
        asyncio.run(sync(left, right, status))
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
        status.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = {"items": len(right.items), "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_kib": peak}
    print(json.dumps(done))


if __name__ == "__main__":
    main(int(sys.argv[1]))
