"""What the real node needs of Debian is found missing before anything is started."""

from pathlib import Path

import pytest

from tests.cluster import packages
from tests.cluster.errors import ClusterError


def elf(*header_types: int) -> bytes:
    """The head of a 64-bit ELF file with program headers of these types."""
    head = bytearray(b"\x7fELF".ljust(64, b"\0"))
    head[32:40] = (64).to_bytes(8, "little")
    head[54:58] = (56).to_bytes(2, "little") + len(header_types).to_bytes(2, "little")
    return bytes(head) + b"".join(number.to_bytes(4, "little").ljust(56, b"\0") for number in header_types)


@pytest.mark.parametrize(
    ("program", "static"),
    [(elf(1, 2), True), (elf(6, 3, 1), False), (b"#!/bin/sh\n", False)],
    ids=["static", "dynamic", "script"],
)
def test_static_programs_are_told_by_their_headers(program: bytes, static: bool) -> None:
    assert packages.is_static(program) is static


def test_a_dynamic_busybox_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "busybox").write_bytes(elf(3))
    (tmp_path / "busybox").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages.missing({"busybox": "busybox-static"}) == ["busybox-static"]
    (tmp_path / "busybox").write_bytes(elf(1))
    assert packages.missing({"busybox": "busybox-static"}) == []


def test_what_cannot_be_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installable", lambda: False)
    with pytest.raises(ClusterError, match="the real node needs .* apt-get install some-package"):
        packages.ensure({"/no/such/program": "some-package"}, "the real node")
