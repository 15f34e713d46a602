"""The demo's file store: a directory of the node, a static PersistentVolume on it, and a claim for the jobs."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.connection import Connection
from tests.cluster.errors import ClusterError

CLAIM = "batch-data"


@dataclass(frozen=True)
class Place:
    """Where the store lies on this machine."""

    root: Path

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"


def check(files: Path) -> None:
    """Raises ClusterError where the user's folder is not laid out as --help says."""
    if not sorted(files.glob("inference/*.csv")):
        raise ClusterError(f"{files}/inference holds no *.csv files: these are the files to classify")
    classes = sorted(folder.name for folder in files.glob("n_shots/*") if any(folder.glob("*.csv")))
    if len(classes) < 2:
        raise ClusterError(
            f"{files}/n_shots needs labelled examples of at least two classes, as n_shots/<class>/*.csv; "
            f"it has {', '.join(classes) or 'none'}"
        )


def copy(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)


def prepare(cluster: Connection, namespace: str) -> Place:
    """The directory, open to the workers' user, and the volume and claim that lead to it."""
    if not cluster.node_data_dir:
        raise ClusterError("this cluster shares no directory with this machine; run the demo without EXISTING_CLUSTER")
    place = Place(Path(cluster.node_data_dir) / namespace)
    for folder in (place.root, place.files, place.outputs):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
    cluster.client().run(
        "apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": volumes(place, namespace)}
    )
    return place


def volumes(place: Place, namespace: str) -> list[dict[str, object]]:
    """A PersistentVolume on the directory and the claim that is bound to it."""
    capacity = {"storage": "10Gi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{namespace}-{CLAIM}"},
            "spec": {
                "capacity": capacity,
                "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "claimRef": {"namespace": namespace, "name": CLAIM},
                "hostPath": {"path": str(place.root)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": f"{namespace}-{CLAIM}",
                "resources": {"requests": capacity},
            },
        },
    ]
