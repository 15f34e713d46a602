"""Everything that stands between a fault and a release, and the table of its figures: `make faults-ci`, `make faults`.

On the fake API server every plan, in two processes, and beside it the slow cases on the real node, which mostly wait;
then, with the cores to itself, the real API server: plans, generated objects, recovery. The last line is for machines.
"""

import asyncio
import contextlib
import re
import sys
import time
from dataclasses import dataclass

from tests.cluster import connection, installed_operator
from tests.cluster.layout import CHECKOUT
from tests.faults import generated, recovery
from tests.faults.bench import Bench, bench
from tests.faults.sweep import LANES, chosen, lanes, references, sweep

FAKE = (sys.executable, "-m", "tests.unit.faults", "--all", "--processes", "2")
PAIRS = {False: "400", True: "2000"}
SLOW = (sys.executable, "-m", "pytest", "-q", "-m", "slow", "tests/e2e")
BUGS = 30
LEAST_REAL_PLANS = 300
OBJECTS = 10_000
JOBS = 1000
_LAST = re.compile(r"plans=(\d+) violations=(\d+) seeded_bugs=(\d+)/(\d+)")


@dataclass
class Total:
    """What the last line says."""

    plans: int = 0
    violations: int = 0
    bugs: int = 0
    of: int = BUGS

    @property
    def is_well(self) -> bool:
        return not self.violations and self.bugs == self.of >= BUGS and self.plans > 0

    def __str__(self) -> str:
        return f"plans={self.plans} violations={self.violations} seeded_bugs={self.bugs}/{self.of}"


async def run(everything: bool) -> bool:
    """Prints as it goes -> whether all is well."""
    total, lines = Total(), list[str]()
    fake, slow = await asyncio.gather(_fake(total, everything), _slow(total))
    lines += [fake, slow]
    with installed_operator.away(connection.load().client()):
        async with bench(connection.load().kubeconfig) as desk:
            lines.append(await _plans(desk, total, everything))
            lines.append(await _objects(desk, total))
            lines.append(await _recovery(desk))
    print("\n" + "\n".join(lines) + f"\n{total}", flush=True)
    return total.is_well


async def _fake(total: Total, everything: bool) -> str:
    began = time.monotonic()
    output, _ = await _shown("fake", *FAKE, "--pairs", PAIRS[everything])
    if not (last := _LAST.fullmatch(output[-1] if output else "")):
        total.violations += 1
        return f"plans on the fake API server: it did not end as it should: {' '.join(output[-1:])}"
    plans, violations, bugs, of = (int(number) for number in last.groups())
    total.plans += plans
    total.violations += violations
    total.bugs, total.of = bugs, of
    details = "\n".join(f"  {line}" for line in output[:-1])
    return f"plans on the fake API server: {plans} in {time.monotonic() - began:.0f} s\n{details}"


async def _slow(total: Total) -> str:
    output, code = await _shown("node", *SLOW)
    if code == 5:
        return "slow cases on the real node: none there"
    total.violations += int(code != 0)
    return f"slow cases on the real node: {output[-1] if output else 'no word of them'}"


async def _plans(desk: Bench, total: Total, everything: bool) -> str:
    async with lanes(desk, LANES) as made:
        calm = await references(made)
        figures = await sweep(made, calm, chosen(calm, everything))
    total.plans += figures.plans
    total.violations += figures.violations
    if figures.plans < LEAST_REAL_PLANS:
        total.violations += 1
        return f"{figures.table()}\n  fewer than {LEAST_REAL_PLANS}"
    return figures.table()


async def _objects(desk: Bench, total: Total) -> str:
    figures = await generated.run(desk, OBJECTS, seed=1)
    total.violations += len(figures.found)
    return "\n  ".join((figures.table(), *figures.found))


async def _recovery(desk: Bench) -> str:
    """A time is a figure of the machine too, and decides nothing here; that a change is never acted on raises."""
    figures = await recovery.run(desk, JOBS)
    return f"{'FALL' if figures.found else 'PASS'}: {figures.table()}"


async def _shown(name: str, *argv: str) -> tuple[list[str], int]:
    """Runs it, each line shown as it comes -> (stdout's lines, exit code)."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, cwd=CHECKOUT, stdout=pipe, limit=1 << 20)
    try:
        assert process.stdout is not None, "it has a pipe"
        lines = []
        async for raw in process.stdout:
            lines.append(raw.decode().rstrip())
            print(f"[{name}] {lines[-1]}", flush=True)
        return lines, await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
