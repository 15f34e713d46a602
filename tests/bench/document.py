"""Puts tables and picture into docs/performance.md and docs/performance.svg. Called by __main__."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench import picture, tables
from tests.bench.records import Record
from tests.cluster.layout import CHECKOUT

PAGE = CHECKOUT / "docs/performance.md"
PICTURE = CHECKOUT / "docs/performance.svg"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def write(records: Sequence[Record], page: Path = PAGE, drawing: Path = PICTURE) -> None:
    """Raises LookupError where the page has no markers."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LookupError(f"{page} has no lines {BEGIN} and {END}, between which the figures go")
    shown = f"![Throughput by contender]({drawing.name})"
    page.write_text(f"{before}{BEGIN}\n{shown}\n\n{tables.tables(records)}\n{END}{after}")
    drawing.write_text(picture.draw(records))
