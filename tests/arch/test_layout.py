"""Rules of the house that no linter knows."""

import re
import subprocess
from pathlib import Path

import pytest

from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.reconcile.transitions import EDGES
from batch_operator.scheduling.decisions import Why
from tests.contract.operator_processes import IMAGE_ENV

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "operator"
MAX_LINES = 400
DRAWERS = {"utils", "util", "helpers", "common", "manager", "misc"}


def python_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def test_the_source_root_is_no_package() -> None:
    """With an operator/__init__.py the standard library's `operator` is gone for whoever starts in the checkout."""
    assert not (SOURCE / "__init__.py").exists()


def test_a_process_that_tests_start_has_the_environment_of_the_image() -> None:
    stage = (SOURCE / "Dockerfile").read_text(encoding="utf-8").split(" AS operator\n")[1]
    given = [pair.split("=", 1) for line in re.findall(r"(?m)^ENV (.+)$", stage) for pair in line.split()]
    assert dict(given) == IMAGE_ENV


def test_no_file_is_longer_than_a_reader_holds() -> None:
    too_long = {
        str(path.relative_to(ROOT)): count
        for path in python_files()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not too_long, f"past {MAX_LINES} lines, look for the seam: {too_long}"


def test_files_are_named_for_what_they_hold() -> None:
    drawers = [str(path.relative_to(ROOT)) for path in python_files() if path.stem in DRAWERS]
    assert not drawers


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if path.is_relative_to(SOURCE) and path.name != "__init__.py" and not path.read_text().startswith('"""')
    ]
    assert not silent


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_every_reason_is_used(reason: Reason) -> None:
    """By its name, as the code of an error (Reason.of_code), or as what the scheduler says."""
    if reason.value in set(Why):
        return
    code = re.sub("(?<!^)(?=[A-Z])", "_", reason.value).upper()
    words = (f"Reason.{reason.name}", f'"{code}"')
    users = [
        path
        for path in (SOURCE / "batch_operator").rglob("*.py")
        if path.name != "conditions.py" and any(word in path.read_text() for word in words)
    ]
    assert users, f"{reason} is never used"


def test_the_diagram_in_the_docs_is_the_transition_table() -> None:
    drawn = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for before, edges in EDGES.items():
        for after, why in edges.items():
            line = f"{before.value if before else '[*]'} --> {after.value}: {why}"
            assert line in drawn, f"docs/architecture.md does not draw: {line}"
