"""How tests and the demo reach the cluster that is up: `connection.load()`, or `python3 -m tests.cluster env`."""

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl
from tests.cluster.layout import CHECKOUT
from tests.cluster.state import State

KINDS = ("local", "kind", "existing")


@dataclass(frozen=True)
class Connection:
    """Empty strings where the cluster has no such thing; what the names mean is said in `environment`."""

    kind: str
    kubeconfig: str
    real_node: str = ""
    node_data_dir: str = ""
    host_address: str = ""
    image_operator: str = ""
    image_worker: str = ""
    binaries: str = ""

    @property
    def kubectl(self) -> str:
        """The kubectl to use: ours where it was built (an older one on PATH may not know the server's fields)."""
        return self._program("kubectl")

    @property
    def helm(self) -> str:
        return self._program("helm")

    def client(self) -> Kubectl:
        return Kubectl(self.kubectl, self.kubeconfig)

    def environment(self) -> dict[str, str]:
        """What the tests and the demo read.

        BATCH_CLUSTER_KIND local, kind or existing; BATCH_REAL_NODE the node that runs real containers;
        BATCH_NODE_DATA_DIR a directory of the host that is the same path on that node; BATCH_HOST_ADDRESS the
        address by which pods reach a process on this host; BATCH_IMAGE_… the images that the node has.
        """
        return {
            "KUBECONFIG": self.kubeconfig,
            "BATCH_CLUSTER_KIND": self.kind,
            "BATCH_REAL_NODE": self.real_node,
            "BATCH_NODE_DATA_DIR": self.node_data_dir,
            "BATCH_HOST_ADDRESS": self.host_address,
            "BATCH_IMAGE_OPERATOR": self.image_operator,
            "BATCH_IMAGE_WORKER": self.image_worker,
        }

    def _program(self, name: str) -> str:
        ours = Path(self.binaries) / name
        if self.binaries and ours.exists():
            return str(ours)
        found = shutil.which(name)
        if not found:
            raise ClusterError(f"no {name} was found: run `python3 -m tests.cluster binaries`, or install {name}")
        return found


def load(environment: Mapping[str, str] = os.environ, checkout: Path = CHECKOUT) -> Connection:
    """The cluster that is up for this checkout, or the existing one that the environment names.

    Raises ClusterError, one sentence, if there is none.
    """
    if environment.get("EXISTING_CLUSTER") == "1":
        return _existing(environment)
    state = State.of_checkout(checkout)
    if state.get("phase") != "up":
        raise ClusterError("no cluster is up for this checkout: run `make cluster-up`")
    known = state.get("connection", {})
    return Connection(**{**known, **{f"image_{name}": ref for name, ref in state.get("images", {}).items()}})


def _existing(environment: Mapping[str, str]) -> Connection:
    kubeconfig = environment.get("KUBECONFIG", "")
    if not kubeconfig:
        raise ClusterError("EXISTING_CLUSTER=1 needs KUBECONFIG, the file that names the cluster to use")
    if not Path(kubeconfig).is_file():
        raise ClusterError(f"KUBECONFIG={kubeconfig} is not a file; with EXISTING_CLUSTER=1 it names the one to use")
    given = {
        field: environment.get(f"BATCH_{field.upper()}", "")
        for field in ("real_node", "node_data_dir", "host_address", "image_operator", "image_worker")
    }
    programs = binaries.directory()
    return Connection("existing", kubeconfig, binaries=str(programs) if programs.is_dir() else "", **given)


def exports(connection: Connection, environment: Mapping[str, str] = os.environ) -> str:
    """Lines for `eval "$(python3 -m tests.cluster env)"`; our programs come first on PATH, once."""
    values = connection.environment()
    if connection.binaries:
        others = [part for part in environment.get("PATH", "").split(":") if part and part != connection.binaries]
        values["PATH"] = ":".join([connection.binaries, *others])
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())
