"""Which slot (ports and address ranges) a checkout gets: its preferred one, or the next that nobody uses.

Claims of all checkouts of this user lie in one directory; what other users and programs hold is seen by trying.
"""

import ipaddress
import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.layout import SLOTS, Layout, checkout_id, preferred_slot, state_home
from tests.cluster.progress import say
from tests.cluster.state import exclusive

# A route as wide as a VPN's 10.0.0.0/8 gives way to ours; one that is as narrow as a pod range does not.
_WIDEST_ROUTE_IN_THE_WAY = 16


def claim(checkout: Path) -> Layout:
    """The checkout's layout, recorded; the same one while it holds a claim. Raises ClusterError if all are taken."""
    directory = state_home() / "slots"
    with exclusive("slots", state_home()):
        directory.mkdir(parents=True, exist_ok=True)
        holders = _holders(directory)
        mine = next((slot for slot, holder in holders.items() if holder == str(checkout)), None)
        layout = Layout(checkout, mine) if mine else choose(checkout, holders, lambda lay: in_the_way(lay))
        (directory / str(layout.slot)).write_text(str(checkout))
    return layout


def release(checkout: Path) -> None:
    directory = state_home() / "slots"
    for slot, holder in _holders(directory).items():
        if holder == str(checkout):
            (directory / str(slot)).unlink(missing_ok=True)


def claimed(checkout: Path) -> Layout | None:
    """The layout that `claim` recorded, or None."""
    found = (slot for slot, holder in _holders(state_home() / "slots").items() if holder == str(checkout))
    slot = next(found, None)
    return Layout(checkout, slot) if slot else None


def choose(checkout: Path, holders: dict[int, str], trouble: Callable[[Layout], str]) -> Layout:
    """First free slot from the preferred one on; `holders` maps taken slots to their checkouts."""
    first = preferred_slot(checkout)
    met = ""
    for offset in range(SLOTS):
        layout = Layout(checkout, (first - 1 + offset) % SLOTS + 1)
        holder = holders.get(layout.slot)
        met = f"the checkout {holder} uses it" if holder else trouble(layout)
        if not met:
            return layout
        say(f"slot {layout.slot} is taken ({met}): trying the next")
    raise ClusterError(f"all {SLOTS} slots of ports and address ranges are taken; the last one tried: {met}")


def _holders(directory: Path) -> dict[int, str]:
    """Slot -> checkout; a claim whose cluster left no state behind is dropped."""
    holders: dict[int, str] = {}
    if not directory.is_dir():
        return holders
    for path in directory.iterdir():
        holder = path.read_text().strip()
        if (state_home() / checkout_id(Path(holder)) / "cluster.json").exists():
            holders[int(path.name)] = holder
        else:
            path.unlink(missing_ok=True)
    return holders


def in_the_way(layout: Layout) -> str:
    """What on this machine holds one of the slot's ports or ranges, in words; "" if nothing does."""
    for name, port in layout.ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return f"port {port}, meant for {name}, is in use"
    return next((f"route {route} overlaps {r}" for r in layout.ranges for route in overlapping(r, _routes())), "")


def overlapping(wanted: str, routes: list[str]) -> list[str]:
    """Those of `routes` (CIDRs) that are narrow enough to be somebody's and overlap `wanted`."""
    ours = ipaddress.ip_network(wanted)
    networks = [ipaddress.ip_network(route, strict=False) for route in routes]
    return [str(n) for n in networks if n.prefixlen >= _WIDEST_ROUTE_IN_THE_WAY and n.overlaps(ours)]


def _routes() -> list[str]:
    if not shutil.which("ip"):
        return []
    answer = subprocess.run(["ip", "-4", "-json", "route"], capture_output=True, text=True, check=False)
    found = [route["dst"] for route in json.loads(answer.stdout or "[]")]
    return [dst for dst in found if dst != "default"]
