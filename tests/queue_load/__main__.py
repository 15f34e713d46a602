"""``make queue-load``: the queue's figures on the real API server, and whether they hold.

``python -m tests.queue_load [load] [head] [--jobs N] [--seconds N] [--arrivals N] [--write]``; it needs a cluster.
"""

import argparse
import asyncio
import sys

from tests.cluster import connection, installed_operator
from tests.cluster.layout import CHECKOUT
from tests.faults.bench import bench
from tests.queue_load import document, head, load

PARTS = ("load", "head")


async def run(chosen: argparse.Namespace) -> bool:
    bars: list[tuple[bool, str]] = []
    tables: list[str] = []
    kubeconfig = connection.load().kubeconfig
    for part in chosen.parts or PARTS:
        async with bench(kubeconfig) as desk:
            figures: load.Figures | head.Figures
            if part == "load":
                figures = await load.run(desk, load.Plan(chosen.jobs, seconds=chosen.seconds))
            else:
                figures = await head.run(desk, chosen.arrivals)
            bars += figures.bars()
            tables.append(figures.table())
    lines = [f"{'PASS' if held else 'FALL'} {words}" for held, words in bars]
    print("\n\n".join(tables), *lines, sep="\n", flush=True)
    if chosen.write:
        path = CHECKOUT / "docs/queue.md"
        document.write(path, "\n\n".join([*tables, "\n".join(f"- {line}" for line in lines)]))
    return all(held for held, _ in bars)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.queue_load", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: both")
    parser.add_argument("--jobs", type=int, default=10_000, help="that wait at once")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, once all wait")
    parser.add_argument("--arrivals", type=int, default=300, help="of the simulator's load, for its head")
    parser.add_argument("--write", action="store_true", help="the figures into docs/queue.md")
    chosen = parser.parse_args()
    with installed_operator.away(connection.load().client()):
        return 0 if asyncio.run(run(chosen)) else 1


if __name__ == "__main__":
    sys.exit(main())
