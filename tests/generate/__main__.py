"""``make generate`` and ``make verify``: crds/, the chart's copy of them, what is rendered from the chart, and the
diagram of the transition table.

``--check`` generates into a copy of the tree and compares, so that verifying never touches the checkout.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from batch_operator.api import crd
from batch_operator.reconcile.transitions import EDGES
from tests.cluster import binaries

CRDS = Path("crds")
CHART = Path("helm/batch-operator")
CHART_CRDS = CHART / "files/crds"
DIAGRAM = Path("docs/architecture.md")
_DIAGRAM_BEGINS, _DIAGRAM_ENDS = "```mermaid\nstateDiagram-v2\n", "```"
MANIFESTS = (Path("manifests/install.yaml"), Path("manifests/pipelines.yaml"))


def generate(root: Path, helm: str) -> None:
    """Writes all generated files below `root`."""
    crd.main([str(root / CRDS), "--quiet"])
    (root / CHART_CRDS).mkdir(parents=True, exist_ok=True)
    for path in (root / CRDS).glob("*.yaml"):
        shutil.copyfile(path, root / CHART_CRDS / path.name)
    subprocess.run(
        ["sh", str(root / "helm/render.sh"), str(root / "manifests")], check=True, env={**os.environ, "HELM": helm}
    )
    draw(root / DIAGRAM)


def draw(page: Path) -> None:
    """Puts the transition table into the page, in place of the diagram that is there."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_DIAGRAM_BEGINS)
    after = rest[rest.index(_DIAGRAM_ENDS) :]
    lines = (
        f"    {state.value if state else '[*]'} --> {following.value}: {why}\n"
        for state, edges in EDGES.items()
        for following, why in edges.items()
    )
    page.write_text(before + _DIAGRAM_BEGINS + "".join(lines) + after, encoding="utf-8")


def generated(root: Path) -> Iterator[Path]:
    """Paths of the generated files, relative to `root`."""
    for folder in (CRDS, CHART_CRDS):
        yield from (path.relative_to(root) for path in sorted((root / folder).glob("*.yaml")))
    yield from (*MANIFESTS, DIAGRAM)


def check(root: Path, helm: str) -> list[Path]:
    """The generated files that are not as their source says."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(root / "helm", copy / "helm", ignore=shutil.ignore_patterns("crds"))
        (copy / "manifests").mkdir()
        (copy / DIAGRAM).parent.mkdir()
        shutil.copyfile(root / DIAGRAM, copy / DIAGRAM)
        generate(copy, helm)
        paths = {*generated(root), *generated(copy)}
        return sorted(p for p in paths if not _same(root / p, copy / p))


def _same(one: Path, two: Path) -> bool:
    return one.is_file() and two.is_file() and filecmp.cmp(one, two, shallow=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.generate", description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    arguments = parser.parse_args()
    helm = str(binaries.ensure(tuple(p for p in binaries.PROGRAMS if p.name == "helm")) / "helm")
    if not arguments.check:
        generate(arguments.root, helm)
        return 0
    stale = check(arguments.root, helm)
    for path in stale:
        print(f"{path} is not as its source says: run `make generate` and commit it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
