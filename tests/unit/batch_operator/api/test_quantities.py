import pytest

from batch_operator.api import quantities


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [(64, 64_000), ("64", 64_000), ("500m", 500), ("1.5", 1500), ("4Gi", 4000 * 2**30), ("2k", 2_000_000), ("1n", 1)],
    ids=str,
)
def test_parse(text: int | str, thousandths: int) -> None:
    assert quantities.parse(text) == thousandths


def test_a_limit_is_rounded_down() -> None:
    assert (quantities.parse("0.0015"), quantities.parse("0.0015", down=True)) == (2, 1)


@pytest.mark.parametrize("text", ["", "many", "-1", -1, "1e3", "1 Gi", "9" * 50, "1.", True], ids=repr)
def test_what_is_no_quantity(text: int | str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantities.parse(text)


@pytest.mark.parametrize(
    ("resource", "thousandths", "words"),
    [
        ("nvidia.com/gpu", 1_024_000, "1024"),
        ("cpu", 1500, "1500m"),
        ("memory", 12_000 * 2**30, "12Gi"),
        ("memory", 1_500 * 2**30, "1.5Gi"),
        ("memory", -2000 * 2**20, "-2Mi"),
    ],
)
def test_words(resource: str, thousandths: int, words: str) -> None:
    assert quantities.words(resource, thousandths) == words
