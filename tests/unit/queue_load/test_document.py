"""Figures between the markers of a document."""

from pathlib import Path

import pytest

from tests.queue_load import document


def test_they_replace_what_stood_between_the_markers(tmp_path: Path) -> None:
    path = tmp_path / "queue.md"
    path.write_text(f"# Queue\n{document.BEGIN}\nold\n{document.END}\nmore\n")
    for figures in ("| 1 |", "| 2 |\n| 3 |"):
        document.write(path, figures)
        assert path.read_text() == f"# Queue\n{document.BEGIN}\n{figures}\n{document.END}\nmore\n"


@pytest.mark.parametrize("text", ["# Queue\n", document.BEGIN, document.END], ids=["none", "no-end", "no-begin"])
def test_a_document_without_them_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "queue.md"
    path.write_text(text)
    with pytest.raises(LookupError, match="queue-load:begin"):
        document.write(path, "| 1 |")
    assert path.read_text() == text
