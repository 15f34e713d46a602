"""kwok's part: GPU nodes that exist only in the API server, and how pods of ours live and end on them.

A pod lands there only if it tolerates the taint `kwok.x-k8s.io/node=fake:NoSchedule`. A pod with the label
`app.kubernetes.io/managed-by=batch-operator` then runs until these annotations say otherwise:

- `kwok.batch-operator.dev/duration`: how long it runs, as a Go duration ("1500ms", "10s"), "0s" ends it at once;
  without it the pod runs until it is deleted (as kwok does for every pod that no Job owns);
- `kwok.batch-operator.dev/exit-code`: default 0; anything else makes the pod Failed;
- `kwok.batch-operator.dev/termination-message`: what its containers leave in /dev/termination-log.

A pod of anybody's whose image is `example.org/bench:<duration>` succeeds after that duration, for the benchmark: all
contenders have an image to choose, and not all can put an annotation on.
"""

import json
from pathlib import Path
from typing import Any

from tests.cluster.kubectl import Kubectl

ANNOTATION = "kwok.x-k8s.io/node"
SELECTOR = f"{ANNOTATION}=fake"
_PREFIX = "kwok.batch-operator.dev"
GPUS_PER_NODE = 8
TIMED_IMAGE = "example.org/bench"
ENDLESS_IMAGE = f"{TIMED_IMAGE}:endless"

_FINISH_TEMPLATE = """
{{ $now := Now }}
{{ $notes := or .metadata.annotations dict }}
{{ $code := or (index $notes "%(p)s/exit-code") "0" }}
{{ $message := or (index $notes "%(p)s/termination-message") "" }}
phase: {{ if eq $code "0" }}Succeeded{{ else }}Failed{{ end }}
conditions:
- {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ $status := .status }}
{{ range $i, $container := .spec.containers }}
{{ $old := index $status.containerStatuses $i }}
- name: {{ $container.name | Quote }}
  image: {{ $container.image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state:
    terminated:
      exitCode: {{ $code }}
      reason: {{ if eq $code "0" }}Completed{{ else }}Error{{ end }}
      message: {{ $message | Quote }}
      startedAt: {{ or $old.state.running.startedAt $now | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}
"""


def finish_stage() -> dict[str, Any]:
    """The Stage that ends our pods; its selector is disjoint from the stock pod-ready and pod-delete."""
    duration = f'.metadata.annotations["{_PREFIX}/duration"]'
    ours = {"matchLabels": {"app.kubernetes.io/managed-by": "batch-operator"}}
    return _ending("batch-operator-pod-finish", duration, duration, **ours)


def image_stage() -> dict[str, Any]:
    """The Stage that ends the benchmark's pods, by their image's tag."""
    image = ".spec.containers[0].image"
    timed = f'{image} | select(startswith("{TIMED_IMAGE}:")) | select(. != "{ENDLESS_IMAGE}")'
    return _ending("bench-pod-finish", timed, f'{image} | split(":")[1]')


def _ending(name: str, where: str, duration: str, **more: Any) -> dict[str, Any]:
    """A Stage that ends running pods of which the expression `where` finds something; `more`: of its selector."""
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {
                **more,
                "matchExpressions": [
                    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                    {"key": ".status.phase", "operator": "In", "values": ["Running"]},
                    {"key": where, "operator": "Exists"},
                ],
            },
            "delay": {"durationMilliseconds": 0, "durationFrom": {"expressionFrom": duration}},
            "next": {"statusTemplate": _FINISH_TEMPLATE % {"p": _PREFIX}},
        },
    }


def controller_configuration(pods_at_once: int) -> dict[str, Any]:
    """More pods a second than kwok's default of 4 workers gives."""
    return {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "options": {"podPlayStageParallelism": pods_at_once, "nodePlayStageParallelism": 8},
    }


def configuration_text(stock_stages: Path) -> str:
    """One file for kwok or kwokctl: the controller's options, kwok's own stages and ours."""
    documents = [json.dumps(document) for document in (controller_configuration(16), finish_stage(), image_stage())]
    return "\n---\n".join([*documents, stock_stages.read_text()])


def bench_configuration_text(stock_stages: Path) -> str:
    """Likewise for the benchmark: pods end by their image alone, also those that a batch/v1 Job owns.

    No stage follows another at once, since kwok could play it by the answer to its patch and once more by the watch.
    That is not all of it: some runs under load have up to half as many patches again for a reason that is not known.
    """
    stages = stock_stages.read_text().replace("immediateNextStage: true", "immediateNextStage: false")
    stock = [text for text in stages.split("\n---\n") if "name: pod-complete\n" not in text]
    documents = [json.dumps(document) for document in (controller_configuration(64), image_stage())]
    return "\n---\n".join([*documents, *stock])


def node(number: int) -> dict[str, Any]:
    """One fake node of 8 GPUs, 96 CPUs and 1 TiB."""
    name = f"fake-{number}"
    resources = {
        "cpu": "96",
        "memory": "1Ti",
        "ephemeral-storage": "4Ti",
        "pods": "250",
        "nvidia.com/gpu": str(GPUS_PER_NODE),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake", "node.alpha.kubernetes.io/ttl": "0"},
            "labels": {**gpu_labels(), "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
        },
        "spec": {"taints": [{"key": ANNOTATION, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"capacity": resources, "allocatable": resources},
    }


def gpu_labels() -> dict[str, str]:
    """What NVIDIA's feature discovery would put on an H200 node."""
    return {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": "NVIDIA-H200",
        "nvidia.com/gpu.memory": "143771",
    }


def create(kubectl: Kubectl, count: int) -> None:
    """Makes fake-0 … fake-<count-1>; those that exist are left as they are."""
    there = {item["metadata"]["name"] for item in kubectl.get("nodes")["items"]}
    items = [node(i) for i in range(count) if f"fake-{i}" not in there]
    if items:
        kubectl.run("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": items})
