"""Records -> an SVG: a panel of bars for each shape of jobs, one bar a contender, with least and most of the rounds.

Plain elements and no script, so that it reads the same on a forge, in an editor and on paper, on dark and on light.
Pure; called by document.
"""

from collections.abc import Sequence
from html import escape

from tests.bench import report
from tests.bench.contenders.line_up import BARE, OPERATOR
from tests.bench.records import Record
from tests.bench.report import Range

WIDTH = 760
_LABELS, _FIGURES = 190, 110
_BAR, _GAP, _TITLE, _SPACE = 18, 8, 30, 16
_COLOURS = {OPERATOR: "#1a7f37", **dict.fromkeys(BARE, "#9aa4af")}
_PEER = "#4a6fa5"
_STYLE = "text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600}.s{fill:#59636e;font-size:12px}"


def draw(records: Sequence[Record]) -> str:
    panels = []
    top = 8
    for pods in report.shapes(records):
        found = report.ranges(records, "pods_per_s", pods)
        what = "jobs of 1 pod: jobs a second" if pods == 1 else f"jobs of {pods} pods: pods a second"
        lines, top = _panel(what, found, top)
        panels += lines
    note = "median of the rounds; the thin line: least to most. Grey: bare scripts, the limits."
    panels.append(f'<text class="s" x="8" y="{top + 12}">{note}</text>')
    height = top + 24
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    title = "<title>Throughput of this operator, its peers and bare scripts</title>"
    paper = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, title, f"<style>{_STYLE}</style>", paper, *panels, "</svg>"]) + "\n"


def _panel(title: str, found: dict[str, Range], top: int) -> tuple[list[str], int]:
    """-> (elements, where the next panel begins)"""
    lines = [f'<text class="t" x="8" y="{top + 16}">{escape(title)}</text>']
    top += _TITLE
    widest = max((value.most for value in found.values()), default=0.0) or 1.0
    scale = (WIDTH - _LABELS - _FIGURES) / widest
    for name, value in found.items():
        lines += _bar(name, value, scale, top)
        top += _BAR + _GAP
    return lines, top + _SPACE


def _bar(name: str, value: Range, scale: float, top: int) -> list[str]:
    middle = top + _BAR / 2
    least, most = _LABELS + value.least * scale, _LABELS + value.most * scale
    colour = _COLOURS.get(name, _PEER)
    lines = [
        f'<text x="{_LABELS - 8}" y="{middle + 4.5}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{_LABELS}" y="{top}" width="{value.median * scale:.1f}" height="{_BAR}" fill="{colour}"/>',
        f'<text x="{most + 8:.1f}" y="{middle + 4.5}">{value.median:.4g}</text>',
    ]
    if value.rounds > 1:
        lines.append(f'<path d="M{least:.1f} {middle}H{most:.1f}" stroke="#1f2328" stroke-width="1.5"/>')
    return lines
