"""Folded stacks become one frame a function, with its share of the time, and nothing of the start or of waiting."""

from xml.etree import ElementTree

from tests.bench.flame import SMALLEST, draw, fold

STACKS = (
    "main (main.py:1);Handle._run (events.py:80);reconcile (batchjob.py:26);moved (status.py:61) 30",
    "main (main.py:1);Handle._run (events.py:80);reconcile (batchjob.py:31);due (status_write.py:20) 10",
    "main (main.py:1);Handle._run (events.py:80);worker (kopf/queueing.py:9) 60",
    "main (main.py:1);Handle._run (events.py:80);select (selectors.py:460) 500",
    "_find_and_load (importlib.py:1);compile (re.py:1) 500",
)


def test_lines_of_a_function_are_one_frame() -> None:
    root = fold(STACKS)
    assert root.samples == 100
    assert {name: frame.samples for name, frame in root.callees.items()} == {
        "reconcile (batchjob.py)": 40,
        "worker (kopf/queueing.py)": 60,
    }
    assert [frame.samples for frame in root.callees["reconcile (batchjob.py)"].callees.values()] == [30, 10]


def test_the_picture_says_each_share_and_leaves_out_what_is_small() -> None:
    small = f"Handle._run (events.py:80);{{}} (x.py:1) {int(10_000 * SMALLEST / 2)}"
    drawing = draw(fold(["Handle._run (events.py:80);<big> (x.py:1) 10000", small.format("tiny")]), "A & B")
    ElementTree.fromstring(drawing)
    assert "&lt;big&gt; (x.py): 99.8%" in drawing
    assert "tiny" not in drawing


def test_without_samples_there_is_an_empty_picture() -> None:
    ElementTree.fromstring(draw(fold(()), "nothing"))
