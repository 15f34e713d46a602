"""Queues of a test module's own, and how what the queue says of a job is read."""

from typing import Any

from tests.e2e.conftest import Team


class Queues:
    """Cluster-scoped, so each has the team's namespace in its name; `close` deletes them."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self._made: set[str] = set()

    def name(self, short: str) -> str:
        return f"{self._team.namespace}-{short}"

    def make(self, short: str, **spec: Any) -> str:
        """-> its name, for spec.queue."""
        self._team.apply_object("Queue", self.name(short), spec)
        self._made.add(short)
        return self.name(short)

    def change(self, short: str, **spec: Any) -> None:
        self._team.patch("queue", self.name(short), {"spec": spec})

    def delete(self, short: str) -> None:
        self._team.run("delete", "queue", self.name(short))
        self._made.discard(short)

    def status(self, short: str) -> Any:
        return self._team.kubectl.get("queue", self.name(short)).get("status", {})

    def close(self) -> None:
        for short in list(self._made):
            self.delete(short)


def conditions(status: Any) -> dict[str, tuple[str, str]]:
    """By type: status and reason."""
    return {c["type"]: (c["status"], c["reason"]) for c in status.get("conditions", ())}


def waits(status: Any) -> str:
    """Why it is not admitted; "" where it is, or nobody has looked yet."""
    value, reason = conditions(status).get("Admitted", ("", ""))
    return reason if value == "False" else ""


def place(status: Any) -> tuple[int | None, int | None]:
    """(queue_position, queue_depth)"""
    return status.get("queue_position"), status.get("queue_depth")


def rows(table: str) -> dict[str, dict[str, str]]:
    """kubectl's table by NAME; columns are found by where their titles begin, since cells may be empty."""
    title, *lines = table.splitlines()
    starts = [at for at in range(len(title)) if title[at] != " " and title[at - 1 : at] in ("", " ")]
    spans = list(zip(starts, [*starts[1:], None], strict=True))
    names = [title[begin:end].strip() for begin, end in spans]
    cells = ([line[begin:end].strip() for begin, end in spans] for line in lines)
    return {row[0]: dict(zip(names, row, strict=True)) for row in cells}
