"""`cluster-status`: every component with its pid, address and log, and what is wrong with it."""

from collections.abc import Callable

from tests.cluster import connection, processes
from tests.cluster.errors import ClusterError
from tests.cluster.state import State


def report(state: State, find_problems: Callable[[State], list[str]]) -> tuple[str, bool]:
    """The text for a person, and whether all is well. `find_problems` asks the cluster itself."""
    phase = state.get("phase")
    if not phase:
        return "no cluster is up for this checkout (make cluster-up)", False
    words = "up" if phase == "up" else "not complete: its start was interrupted, run `make cluster-up`"
    lines = [f"{state.get('kind')} cluster, {words}"]
    rows = [("COMPONENT", "PID", "STATE", "ADDRESS", "LOG")]
    for process in state.processes():
        condition = "running" if processes.alive(process) else "ENDED"
        rows.append((process.name, str(process.pid), condition, process.address or "-", process.log))
    rows += [(name, "-", "-", "-", path) for name, path in state.get("logs", {}).items()]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines += ["  " + "  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]) for row in rows]
    problems = find_problems(state) if phase == "up" else ["it is not complete"]
    if phase == "up":
        lines += _nodes()
        values = connection.load({}).environment()
        lines += [f"  {name}={value}" for name, value in values.items()]
    lines += [f"PROBLEM: {problem}" for problem in problems]
    return "\n".join(lines), not problems


def _nodes() -> list[str]:
    try:
        client = connection.load({}).client()
        return ["  " + line for line in client.run("get", "nodes", "-o", _COLUMNS).splitlines()]
    except ClusterError as problem:
        return [f"  nodes: {problem}"]


_COLUMNS = (
    "custom-columns=NODE:.metadata.name,READY:.status.conditions[?(@.type=='Ready')].status,"
    "GPUS:.status.allocatable.nvidia\\.com/gpu,ADDRESS:.status.addresses[0].address"
)
