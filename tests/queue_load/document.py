"""Puts figures between the markers of a document. Used by __main__."""

from pathlib import Path

BEGIN, END = "<!-- queue-load:begin -->", "<!-- queue-load:end -->"


def write(path: Path, figures: str) -> None:
    """Raises LookupError where the document has no such markers."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LookupError(f"{path} has no lines {BEGIN} and {END}, between which the figures go")
    path.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}")
