"""The directory that an image build sees: the project's files and, so that it needs no network, all its wheels.

Contract with operator/Dockerfile: wheels/operator and wheels/worker hold what requirements/<name>.txt locks for the
base image's Python, wheels/project holds the project's own wheel.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster import builders
from tests.cluster.errors import ClusterError
from tests.cluster.layout import CHECKOUT, cache_home
from tests.cluster.progress import step
from tests.cluster.state import exclusive

TARGETS = ("operator", "worker")
_FILES = ("pyproject.toml", "README.md", "LICENSE", *(f"requirements/{name}.txt" for name in (*TARGETS, "build")))
_SOURCE = "operator"
_IGNORED = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def inputs(checkout: Path = CHECKOUT) -> list[Path]:
    """Every file that reaches an image, relative to the checkout, sorted. Raises ClusterError naming a missing one."""
    found = [Path(name) for name in _FILES]
    for directory, below, names in os.walk(checkout / _SOURCE):
        below[:] = [name for name in below if name not in _IGNORED]
        found += [(Path(directory) / name).relative_to(checkout) for name in names]
    missing = [str(path) for path in [*found, Path("operator/Dockerfile")] if not (checkout / path).is_file()]
    if missing:
        raise ClusterError(f"the images cannot be built: {', '.join(missing)} is missing")
    return sorted(found)


def key(base: str, checkout: Path = CHECKOUT) -> str:
    """12 hex digits over the names and contents of all inputs and the base image's name."""
    digest = hashlib.sha256(base.encode())
    for path in inputs(checkout):
        digest.update(f"\0{path}\0".encode())
        digest.update(hashlib.sha256((checkout / path).read_bytes()).digest())
    return digest.hexdigest()[:12]


def write(directory: Path, python: str) -> None:
    """Fills `directory`; downloads wheels that are not cached. Raises ClusterError with pip's words."""
    for path in inputs():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / path, directory / path)
    wheels = directory / "wheels"
    with step("building the project's wheel"):
        options = ("--quiet", "--no-deps", "--no-build-isolation")  # hatchling is locked in the environment
        _pip("wheel", *options, "--wheel-dir", str(wheels / "project"), str(directory))
    for target in TARGETS:
        shutil.copytree(_locked_wheels(target, python), wheels / target)


def _locked_wheels(target: str, python: str) -> Path:
    lock = CHECKOUT / "requirements" / f"{target}.txt"
    name = hashlib.sha256(lock.read_bytes() + python.encode()).hexdigest()[:16]
    wheels = cache_home() / "wheels" / f"{target}-py{python}-{name}"
    with exclusive("wheels", cache_home()):
        if not wheels.exists():
            part = wheels.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            platforms = [f"--platform={tag}" for tag in builders.wheel_platforms()]
            arguments = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *platforms]
            with step(f"downloading the {target}'s wheels for Python {python}"):
                _pip("download", "--quiet", "--require-hashes", "-r", str(lock), "--dest", str(part), *arguments)
            part.rename(wheels)
    return wheels


def _pip(*arguments: str) -> None:
    python = CHECKOUT / ".venv/bin/python"
    if not python.exists():
        raise ClusterError("the images need the project's virtual environment .venv: run `make install` first")
    argv = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ClusterError(f"pip {arguments[0]} failed: {result.stderr.strip()[-1500:]}")
