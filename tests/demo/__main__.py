"""`make demo` calls it: ``python -m tests.demo [--files DIR]``. Exit code 1: a problem, in one sentence."""

import argparse
import sys
from pathlib import Path

from tests.cluster import choice, connection
from tests.cluster.errors import ClusterError
from tests.cluster.layout import CHECKOUT, checkout_id, state_home
from tests.cluster.progress import say
from tests.cluster.state import State, exclusive
from tests.demo import installation, job, results, sensor_files, store

FAKE_NODES = 2
BOTH_PODS_AT_ONCE = {"pipelines.machineStateClassification.component.resources.cpu": "500m"}
"""On a node of two cores; at the chart's one core each, the second waits for the first one's end."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description="Classify sensor files on a local cluster.")
    parser.add_argument(
        "--files",
        type=Path,
        help="your own files: n_shots/<class>/*.csv, inference/*.csv, optionally labels.csv (file_id,class)",
    )
    files: Path | None = parser.parse_args().files
    try:
        return _run(files)
    except ClusterError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make demo` goes on from here, `make cluster-down` ends the cluster", file=sys.stderr)
        return 130


def _run(files: Path | None) -> int:
    if files is not None:
        store.check(files)
    with exclusive(checkout_id(CHECKOUT), state_home()):
        state = State.of_checkout()
        choice.up(state, FAKE_NODES)
        choice.images(state)
    cluster = connection.load()
    if not cluster.real_node:
        raise ClusterError(
            "the demo needs a node that runs containers: be root on Debian, or have Docker or Podman running; "
            "`make test` still runs everything but the real node"
        )
    installation.install(cluster, BOTH_PODS_AT_ONCE)
    place = store.prepare(cluster, installation.DEMO_NAMESPACE)
    if files is None:
        say("making a seeded set of sensor files")
        sensor_files.write(place.files, seed=7)
    else:
        say(f"copying the files of {files}")
        store.copy(files, place.files)
    name = job.apply(cluster, place.files)
    status = job.follow(cluster, name)
    return results.show(cluster, name, status, place)


if __name__ == "__main__":
    sys.exit(main())
