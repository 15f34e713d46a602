"""Sets of whole numbers written as ranges, as batch/v1 writes ``completedIndexes``: ``"0-3,6"``.

Used wherever many input numbers or indexes go into status, annotations, environment or reports.
"""

from collections.abc import Iterable

MAX_NUMBER = 99_999
"""Larger numbers are refused: a range is expanded, and ``0-4000000000`` must not cost memory. A job has at most
10,000 inputs."""


class RangeError(ValueError):
    """The text is no list of ranges; str() says which part and why."""


def parse(text: str) -> frozenset[int]:
    """``"0-3,6"`` -> {0, 1, 2, 3, 6}; ``""`` -> the empty set. Raises RangeError.

    Ranges ascend and never overlap, so that a text costs no more than the numbers in it: reports come from strangers.
    """
    numbers: set[int] = set()
    previous = -1
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not _is_number(first) or (dash and not _is_number(last)):
            raise RangeError(f"{part!r} is neither a number nor a range such as 3-5")
        low, high = int(first), int(last if dash else first)
        if high < low:
            raise RangeError(f"range {part!r} ends before it begins")
        if high > MAX_NUMBER:
            raise RangeError(f"{part!r} is beyond the largest number, {MAX_NUMBER}")
        if low <= previous:
            raise RangeError(f"{part!r} does not come after {previous}: ranges ascend and do not overlap")
        numbers.update(range(low, high + 1))
        previous = high
    return frozenset(numbers)


def format_ranges(numbers: Iterable[int]) -> str:
    """{0, 1, 2, 3, 6} -> ``"0-3,6"``; the inverse of parse()."""
    parts: list[str] = []
    start = previous = None
    for number in sorted(set(numbers)):
        if previous is not None and number == previous + 1:
            previous = number
            continue
        if start is not None:
            parts.append(f"{start}" if start == previous else f"{start}-{previous}")
        start = previous = number
    if start is not None:
        parts.append(f"{start}" if start == previous else f"{start}-{previous}")
    return ",".join(parts)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_NUMBER))
