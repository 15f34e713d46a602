"""``python -m tests.bench.flame FOLDED SVG``: stacks as py-spy and perf fold them, as a small flame graph.

For docs/performance-profile.svg. py-spy draws one itself, of 1 MB with a script in it; this one has what took at least
`SMALLEST` of the time, and no script, so that a forge shows it. Start-up and waiting are left out.
"""

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

SMALLEST = 0.004
WIDTH, ROW, MARGIN = 1200, 16, 8
_LETTER = 6.2
_LEFT_OUT = ("select (selectors.py", "exec_module", "_find_and_load")
_START = "Handle._run"
"""Below it lies what every stack of the event loop shares."""
_COLOURS = (
    ("batch_operator/cluster", "#e0a458"),
    ("batch_operator/handlers", "#d9824b"),
    ("batch_operator", "#cf6a4f"),
    ("kopf", "#7d9ec0"),
    ("aiohttp", "#8fb996"),
    ("ssl", "#8fb996"),
    ("pydantic", "#b39bc8"),
)
_OTHER = "#c8ccd1"


@dataclass
class Frame:
    """A function, below those that called it."""

    name: str
    samples: int = 0
    callees: dict[str, "Frame"] = field(default_factory=dict)


def fold(lines: Iterable[str], start: str = _START) -> Frame:
    """`lines`: "outermost;…;innermost samples". Line numbers go, so that a function is one frame."""
    root = Frame("one-pod jobs")
    for line in lines:
        stack, _, number = line.rstrip().rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        places = [place for place, frame in enumerate(frames) if frame.startswith(start)]
        if not places or any(word in stack for word in _LEFT_OUT):
            continue
        here = root
        here.samples += int(number)
        for name in frames[places[0] + 1 :]:
            here = here.callees.setdefault(name, Frame(name))
            here.samples += int(number)
    return root


def draw(root: Frame, title: str) -> str:
    boxes: list[str] = []
    rows = _boxes(root, root, 0.0, 0, boxes)
    height = (rows + 1) * ROW + 3 * MARGIN + ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    style = "<style>text{font:10px ui-monospace,monospace;fill:#1f2328}.t{font:13px system-ui,sans-serif}</style>"
    paper = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    words = f'<text class="t" x="{MARGIN}" y="{ROW + 2}">{escape(title)}</text>'
    return "\n".join([head, f"<title>{escape(title)}</title>", style, paper, words, *boxes, "</svg>"]) + "\n"


def _boxes(frame: Frame, root: Frame, left: float, row: int, boxes: list[str]) -> int:
    """-> the lowest row that it, or one it called, is in. `left`: of the whole, 0 to 1."""
    share = frame.samples / root.samples if root.samples else 0.0
    width = share * (WIDTH - 2 * MARGIN)
    x, y = MARGIN + left * (WIDTH - 2 * MARGIN), 2 * MARGIN + ROW + row * ROW
    name = frame.name.partition(" (")[0]
    letters = int((width - 4) / _LETTER)
    shown = name if len(name) <= letters else f"{name[: letters - 1]}…" if letters > 3 else ""
    box = f'<rect x="{x:.1f}" y="{y}" width="{width - 0.5:.1f}" height="{ROW - 1}" fill="{_colour(frame.name)}">'
    boxes.append(f"<g>{box}<title>{escape(frame.name)}: {share:.1%}</title></rect>")
    boxes.append((f'<text x="{x + 2:.1f}" y="{y + 11}">{escape(shown)}</text>' if shown else "") + "</g>")
    lowest = row
    for callee in sorted(frame.callees.values(), key=lambda callee: -callee.samples):
        if callee.samples >= SMALLEST * root.samples:
            lowest = max(lowest, _boxes(callee, root, left, row + 1, boxes))
        left += callee.samples / root.samples
    return lowest


def _colour(name: str) -> str:
    return next((colour for part, colour in _COLOURS if part in name), _OTHER)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flame", description=__doc__)
    parser.add_argument("folded", type=Path)
    parser.add_argument("svg", type=Path)
    parser.add_argument("--title", default="Where the operator's CPU time goes, jobs of one pod")
    chosen = parser.parse_args()
    with chosen.folded.open() as lines:
        chosen.svg.write_text(draw(fold(lines), chosen.title))


if __name__ == "__main__":
    main()
