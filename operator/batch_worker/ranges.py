"""Sets of input numbers as text, the way batch/v1 writes completedIndexes: "0-3,6"; "" is the empty set.

Used for BATCH_INPUTS and in every report.
"""

import re
from collections.abc import Iterable

_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?\Z")
_MOST = 1_000_000


def parse(text: str) -> list[int]:
    """Numbers of `text`, ascending. Raises ValueError where it is malformed, overlaps or is not in ascending order."""
    numbers: list[int] = []
    for item in text.split(",") if text else []:
        match = _RANGE.match(item)
        if match is None:
            raise ValueError(f"{item!r} is not a number or a range such as 3-7")
        first = int(match[1])
        last = int(match[2] or first)
        if last < first or (numbers and first <= numbers[-1]):
            raise ValueError(f"{item!r} is out of order")
        if last - first >= _MOST:
            raise ValueError(f"{item!r} holds over {_MOST} numbers")
        numbers.extend(range(first, last + 1))
    return numbers


def render(numbers: Iterable[int]) -> str:
    """The shortest text for a set of numbers >= 0, in any order."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
