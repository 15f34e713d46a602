"""URL paths of Kubernetes resources, there (for every call of `client`) and back (the metrics' `resource`
label).
"""

from dataclasses import dataclass
from urllib.parse import quote

from batch_operator.api import names


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource type, e.g. `Resource("batch-operator.dev", "v1alpha1", "batchjobs")`; group "" is the core
    group.
    """

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """`/apis/<group>/<version>[/namespaces/<namespace>]/<plural>[/<name>[/<subresource>]]`; no namespace:
        all of them.
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


BATCH_JOBS = Resource(names.GROUP, names.VERSION, "batchjobs")
PIPELINES = Resource(names.GROUP, names.VERSION, "pipelines")
CLUSTER_PIPELINES = Resource(names.GROUP, names.VERSION, "clusterpipelines")
QUEUES = Resource(names.GROUP, names.VERSION, "queues")
PODS = Resource("", "v1", "pods")
CONFIG_MAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
NAMESPACES = Resource("", "v1", "namespaces")
NODES = Resource("", "v1", "nodes")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
EVENTS = Resource("events.k8s.io", "v1", "events")
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses")
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews")


def resource_of(path: str) -> str:
    """The plural, with the subresource if there is one ("pods", "batchjobs/status"), of a path; never a name
    of an object.

    Metrics are labelled by it, so its values must stay few. What is no resource path (/version, /openapi/v2)
    is "other".
    """
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        rest = parts[2:]
    elif parts[0] == "apis":
        rest = parts[3:]
    else:
        return "other"
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
        if rest == ["status"] or rest == ["finalize"]:
            return f"namespaces/{rest[0]}"
    if not rest:
        return "other"
    return f"{rest[0]}/{rest[2]}" if len(rest) > 2 else rest[0]
