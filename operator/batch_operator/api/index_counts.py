"""Small numbers by index as one short text, ``"0:2,3:1"``: attempts, retries and the like in a ledger.

An index that is not named has the number 0, so that a job without trouble writes nothing.
"""

from collections.abc import Mapping


def parse(text: str | None) -> dict[int, int]:
    """``"0:2,3:1"`` -> {0: 2, 3: 1}. Raises ValueError: only the operator writes these."""
    pairs = (part.partition(":") for part in text.split(",")) if text else ()
    return {int(index): int(number) for index, _, number in pairs}


def format_counts(counts: Mapping[int, int]) -> str | None:
    """The inverse of parse(); zeros are left out, and None says that nothing is left."""
    return ",".join(f"{index}:{number}" for index, number in sorted(counts.items()) if number) or None
