"""Two checkouts on one machine share no port, range, interface or directory."""

import ipaddress
from itertools import combinations
from pathlib import Path

from tests.cluster.layout import SLOTS, Layout, NodeLayout, checkout_id, preferred_slot


def test_ranges_of_all_slots_are_disjoint() -> None:
    networks = [ipaddress.ip_network(r) for slot in range(1, SLOTS + 1) for r in Layout(Path("/a"), slot).ranges]
    assert len(networks) == 3 * SLOTS
    ordered = sorted(networks)
    assert not [pair for pair in zip(ordered, ordered[1:], strict=False) if pair[0].overlaps(pair[1])]


def test_ports_of_all_slots_are_distinct_and_below_the_ephemeral_ones() -> None:
    ports = [port for slot in range(1, SLOTS + 1) for port in Layout(Path("/a"), slot).ports.values()]
    assert len(set(ports)) == len(ports)
    assert max(ports) < 32768


def test_addresses_lie_in_the_slot_s_ranges() -> None:
    layout = Layout(Path("/a"), 7)
    assert ipaddress.ip_address(layout.host_address) in ipaddress.ip_network(layout.link_range)
    assert ipaddress.ip_address(layout.node_address) in ipaddress.ip_network(layout.link_range)
    assert ipaddress.ip_address(layout.kubernetes_service) in ipaddress.ip_network(layout.service_range)


def test_checkouts_of_the_same_directory_name_have_names_of_their_own() -> None:
    layouts = [Layout(Path(f"/home/{user}/batch-operator"), 1) for user in ("ann", "bob", "eve")]
    for one, other in combinations(layouts, 2):
        assert one.id != other.id
        assert one.interface != other.interface
        assert NodeLayout(one).cgroup != NodeLayout(other).cgroup
        assert one.state != other.state


def test_names_fit_the_kernel_s_limits_for_any_path() -> None:
    layout = Layout(Path("/home/x/" + "Ünlimited Näme " * 9), SLOTS)
    assert len(layout.interface) <= 15
    assert len(layout.id) <= 27
    assert layout.id.isascii()


def test_the_same_path_gives_the_same_slot_and_id() -> None:
    assert preferred_slot(Path("/src/x")) == preferred_slot(Path("/src/x"))
    assert 1 <= preferred_slot(Path("/src/x")) <= SLOTS
    assert checkout_id(Path("/src/x")) == checkout_id(Path("/src/x"))
