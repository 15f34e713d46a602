import pytest

from batch_worker import ranges


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), ("0", [0]), ("0-3,6", [0, 1, 2, 3, 6]), ("2-2", [2]), ("7,9,11-12", [7, 9, 11, 12])],
)
def test_parse_reads_what_batch_v1_writes(text: str, numbers: list[int]) -> None:
    assert ranges.parse(text) == numbers


@pytest.mark.parametrize("text", ["a", "3-1", "1,1", "5,2", "-1", "1-", "0-9999999", " 1", "1,,2", "٣"])
def test_parse_refuses_what_no_operator_writes(text: str) -> None:
    with pytest.raises(ValueError):
        ranges.parse(text)


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([4], "4"), ([6, 0, 1, 3, 2], "0-3,6"), ([1, 1, 2], "1-2"), ([0, 2, 4], "0,2,4")]
)
def test_render_is_the_shortest_text(numbers: list[int], text: str) -> None:
    assert ranges.render(numbers) == text
    assert ranges.parse(text) == sorted(set(numbers))
