"""Kubernetes quantities as whole thousandths, so that sums and comparisons are exact.

Read by api.v1alpha1.batch_queue (quotas) and by whoever makes the scheduler's records; written in messages.
"""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

_SHAPE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS: dict[str | None, Decimal] = {
    None: Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
_LONGEST = 40
_BYTES = ("memory", "storage", "hugepages")
_BINARY = ((1000 * 2**40, "Ti"), (1000 * 2**30, "Gi"), (1000 * 2**20, "Mi"), (1000 * 2**10, "Ki"))


def parse(value: int | str, *, down: bool = False) -> int:
    """'500m' -> 500, 2 -> 2000. What is finer than a thousandth is rounded up, a limit `down`. Raises ValueError."""
    text = str(value)
    found = _SHAPE.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or isinstance(value, bool):
        raise ValueError(f"{text[:_LONGEST]!r} is no quantity; write e.g. 64, 500m or 4Gi")
    exact = Decimal(found[1]) * _FACTORS[found[2]] * 1000
    return int(exact.to_integral_value(ROUND_FLOOR if down else ROUND_CEILING))


def is_quantity(text: str) -> bool:
    return len(text) <= _LONGEST and _SHAPE.fullmatch(text) is not None


def words(resource: str, thousandths: int) -> str:
    """The amount as one would write it: 64, 500m, 12Gi."""
    if any(name in resource for name in _BYTES):
        for size, suffix in _BINARY:
            if abs(thousandths) >= size and thousandths % (size // 4) == 0:
                return f"{thousandths / size:g}{suffix}"
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"
