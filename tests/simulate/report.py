"""The figures as tables, the bars as lines PASS or FALL, and both in docs/queue.md between two markers."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from tests.simulate.figures import Figures, mean
from tests.simulate.policies import FIFO, OURS, PLAIN, STRICT

BEGIN = "<!-- simulate:begin -->"
END = "<!-- simulate:end -->"
NEW_PAGE = f"# The queue\n\n## Figures\n\n{BEGIN}\n{END}\n"
Found = Mapping[str, list[Figures]]
"""By policy, a week per seed."""


def bars(load: float, found: Found) -> list[tuple[bool, str]]:
    """Means over the seeds, but for the longest wait: there every seed counts."""
    pairs = list(zip(found[OURS.name], found[PLAIN.name], strict=True))
    used = [ours.utilisation / plain.utilisation for ours, plain in pairs]
    useful = fmean(ours.useful / plain.useful for ours, plain in pairs)
    longest = [
        ours.longest_wait / strict.longest_wait
        for ours, strict in zip(found[OURS.name], found[STRICT.name], strict=True)
    ]
    lost = [ours.lost for ours in found[OURS.name]]
    ours, fifo = mean(found[OURS.name]), mean(found[FIFO.name])
    lines = [
        (
            fmean(used) >= 0.97,
            f"GPU utilisation {fmean(used):.3f} of plain BestEffort's (≥ 0.97); worst seed {min(used):.3f}; "
            f"without repeated work {useful:.3f}",
        ),
        (max(longest) <= 2, f"longest wait {max(longest):.2f} of StrictFIFO's, in the worst seed (≤ 2)"),
        (fmean(lost) <= 0.02, f"GPU-hours wasted by preemption {fmean(lost):.2%} (≤ 2 %); worst seed {max(lost):.2%}"),
    ]
    if load > 1:
        lines.append(
            (
                ours.jain >= 0.95,
                f"Jain's index of weighted shares {ours.jain:.3f} (≥ 0.95), plain FIFO {fifo.jain:.3f}; "
                f"with no regard to priorities {ours.jain_by_weight:.3f}, plain FIFO {fifo.jain_by_weight:.3f}",
            )
        )
    return lines


def verdicts(load: float, found: Found, on_nodes: bool) -> list[str]:
    where = "on 8 nodes, " if on_nodes else ""
    return [f"{'PASS' if held else 'FALL'} {where}load {load}: {line}" for held, line in bars(load, found)]


def table(load: float, found: Found, on_nodes: bool) -> str:
    means = {name: mean(weeks) for name, weeks in found.items()}
    rows = [
        ("GPU utilisation", [f"{f.utilisation:.3f}" for f in means.values()]),
        ("… without repeated work", [f"{f.useful:.3f}" for f in means.values()]),
        ("Jain's index of weighted shares", [f"{f.jain:.3f}" for f in means.values()]),
        ("… with no regard to priorities", [f"{f.jain_by_weight:.3f}" for f in means.values()]),
        ("preemptions", [f"{f.preemptions:.0f}" for f in means.values()]),
        ("GPU-hours wasted", [f"{f.lost_hours:.0f} ({f.lost:.2%})" for f in means.values()]),
        ("… if nothing were kept", [f"{f.lost_if_nothing_kept:.2%}" for f in means.values()]),
        ("longest wait, h", [f"{f.longest_wait:.1f}" for f in means.values()]),
    ]
    if on_nodes:
        rows.append(
            ("start timeouts (jobs with 3)", [f"{f.start_timeouts:.0f} ({f.given_up:.0f})" for f in means.values()])
        )
    rows += [
        (
            f"wait p50 / p99, h: {name.strip()}",
            [f"{f.waits[name][0]:.2f} / {f.waits[name][1]:.1f}" for f in means.values()],
        )
        for name in next(iter(means.values())).waits
    ]
    head = f"load {load}{', with places on 8 nodes' if on_nodes else ''}"
    lines = [f"| {head} | " + " | ".join(means) + " |", "| --- |" + " --- |" * len(means)]
    return "\n".join(lines + [f"| {name} | " + " | ".join(values) + " |" for name, values in rows])


def page(text: str, figures: str) -> str:
    """The page with its figures replaced. Raises ValueError where the markers are not there, once and in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"it takes one line {BEGIN} and, after it, one line {END}")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{figures}\n{END}{rest.split(END)[1]}"


def write(path: Path, figures: str) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else NEW_PAGE
    try:
        path.write_text(page(text, figures), encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
