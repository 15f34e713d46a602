import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_operator.api import ranges


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("", set(), id="nothing"),
        pytest.param("0", {0}, id="one"),
        pytest.param("0-3,6", {0, 1, 2, 3, 6}, id="range and number"),
    ],
)
def test_parse(text: str, numbers: set[int]) -> None:
    assert ranges.parse(text) == numbers


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(",", id="empty part"),
        pytest.param("3-1", id="backwards"),
        pytest.param("-1", id="negative"),
        pytest.param("1-", id="open end"),
        pytest.param("0-9999999", id="too large to expand"),
        pytest.param("٣", id="a digit that is not ASCII"),
        pytest.param("1 2", id="space"),
        pytest.param("6,0-1", id="descending"),
        pytest.param("0-5,5", id="overlapping"),
        pytest.param("3,3", id="twice"),
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ranges.RangeError):
        ranges.parse(text)


@given(st.sets(st.integers(0, 2000)))
def test_format_is_the_inverse_of_parse(numbers: set[int]) -> None:
    assert ranges.parse(ranges.format_ranges(numbers)) == numbers


def test_neighbours_are_joined() -> None:
    assert ranges.format_ranges([3, 1, 2, 7, 9, 8]) == "1-3,7-9"
