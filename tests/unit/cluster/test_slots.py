"""A checkout takes its preferred slot, or the next one that neither a checkout nor the machine holds."""

from pathlib import Path

import pytest

from tests.cluster import slots
from tests.cluster.errors import ClusterError
from tests.cluster.layout import SLOTS, Layout, checkout_id, preferred_slot, state_home

HERE = Path("/src/here")
FIRST = preferred_slot(HERE)


def nothing(_: Layout) -> str:
    return ""


def following(slot: int) -> int:
    return slot % SLOTS + 1


def test_the_preferred_slot_is_taken_if_nobody_has_it() -> None:
    assert slots.choose(HERE, {}, nothing).slot == FIRST


def test_another_checkout_s_slot_is_passed_over_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert slots.choose(HERE, {FIRST: "/src/other"}, nothing).slot == following(FIRST)
    assert "/src/other" in capsys.readouterr().err


def test_a_slot_that_the_machine_uses_is_passed_over() -> None:
    layout = slots.choose(HERE, {}, lambda lay: "port 1 is in use" if lay.slot == FIRST else "")
    assert layout.slot == following(FIRST)


def test_no_slot_left_says_what_is_in_the_way() -> None:
    with pytest.raises(ClusterError, match=r"slots .* are taken.*/src/greedy"):
        slots.choose(HERE, dict.fromkeys(range(1, SLOTS + 1), "/src/greedy"), nothing)


@pytest.mark.parametrize(
    ("route", "in_the_way"),
    [
        ("10.88.7.0/24", True),
        ("10.88.0.0/16", True),
        ("10.0.0.0/8", False),
        ("192.168.1.7", False),
        ("10.88.8.0/24", False),
    ],
    ids=["the same", "a pod range around it", "a VPN's wide route", "a host elsewhere", "the neighbour"],
)
def test_a_route_is_in_the_way_only_if_it_is_narrow_and_overlaps(route: str, in_the_way: bool) -> None:
    assert bool(slots.overlapping("10.88.7.0/24", [route])) is in_the_way


def test_a_claim_lasts_as_long_as_its_cluster_s_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(slots, "in_the_way", nothing)
    for checkout in (HERE, Path("/src/gone")):
        (state_home() / checkout_id(checkout)).mkdir(parents=True)
        (state_home() / checkout_id(checkout) / "cluster.json").write_text("{}")
    claimed = slots.claim(HERE)
    slots.claim(Path("/src/gone"))
    assert slots.claim(HERE) == claimed == slots.claimed(HERE)
    (state_home() / checkout_id(Path("/src/gone")) / "cluster.json").unlink()
    assert slots.claimed(Path("/src/gone")) is None
    slots.release(HERE)
    assert slots.claimed(HERE) is None
