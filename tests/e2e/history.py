"""What the jobs and pods of a namespace went through, from watches of the API server.

Looking now and then misses states that pass within a moment, such as PREEMPTED; a watch that goes on where it was
cut off has every version. Tests get one by the fixture `history`.
"""

import contextlib
import json
import subprocess
import threading
from typing import Any

from batch_operator.api import ranges
from tests.cluster.kubectl import Kubectl

JOBS = "apis/batch-operator.dev/v1alpha1/namespaces/{}/batchjobs"
PODS = "api/v1/namespaces/{}/pods"
_PREFIX = "batch-operator.dev/"


class History:
    """Every version of every job and pod since its making; `close` ends the watches."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self._seen: dict[str, list[Any]] = {JOBS: [], PODS: []}
        self._closed = False
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._threads = []
        for path, seen in self._seen.items():
            listed = json.loads(kubectl.run("get", "--raw", "/" + path.format(namespace)))
            seen += listed["items"]
            arguments = (path.format(namespace), listed["metadata"]["resourceVersion"], seen)
            thread = threading.Thread(target=self._follow, args=arguments, daemon=True)
            thread.start()
            self._threads.append(thread)

    def states(self, job: str) -> list[str]:
        """status.status in its order, without repetitions in a row."""
        found: list[str] = []
        for version in self._of(JOBS, job):
            state = version.get("status", {}).get("status")
            if state and found[-1:] != [state]:
                found.append(state)
        return found

    def first(self, job: str, state: str) -> Any:
        """status of the job's first version in that state."""
        versions = (version.get("status", {}) for version in self._of(JOBS, job))
        return next(status for status in versions if status.get("status") == state)

    def reasons(self, job: str) -> list[str]:
        """Why it was not admitted (condition Admitted), in the order told, without repetitions in a row."""
        found: list[str] = []
        for version in self._of(JOBS, job):
            for condition in version.get("status", {}).get("conditions", ()):
                waits = condition["type"] == "Admitted" and condition["status"] == "False"
                if waits and found[-1:] != [condition["reason"]]:
                    found.append(condition["reason"])
        return found

    def pods(self, job: str) -> dict[str, Any]:
        """The last version of each pod that the job ever had, by name."""
        found = {}
        for version in list(self._seen[PODS]):
            if version["metadata"].get("labels", {}).get(_PREFIX + "job-name") == job:
                found[version["metadata"]["name"]] = version
        return found

    def attempts(self, job: str) -> dict[int, list[int]]:
        """By index: the attempts that had a pod."""
        found: dict[int, list[int]] = {}
        for pod in self.pods(job).values():
            labels = pod["metadata"]["labels"]
            found.setdefault(int(labels[_PREFIX + "index"]), []).append(int(labels[_PREFIX + "attempt"]))
        return {index: sorted(found[index]) for index in sorted(found)}

    def inputs(self, job: str, index: int, attempt: int) -> frozenset[int]:
        """The block of that pod."""
        (pod,) = [
            pod
            for pod in self.pods(job).values()
            if pod["metadata"]["labels"][_PREFIX + "index"] == str(index)
            and pod["metadata"]["labels"][_PREFIX + "attempt"] == str(attempt)
        ]
        return ranges.parse(pod["metadata"]["annotations"][_PREFIX + "inputs"])

    def _of(self, path: str, name: str) -> list[Any]:
        return [version for version in list(self._seen[path]) if version["metadata"]["name"] == name]

    def _follow(self, path: str, version: str, seen: list[Any]) -> None:
        """An end of the watch is normal; it goes on from the last version that it told."""
        command = [str(self._kubectl.program), f"--kubeconfig={self._kubectl.kubeconfig}", "get", "--raw"]
        while not self._closed:
            url = f"/{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
            with subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True) as child:
                self._children[path] = child
                assert child.stdout is not None
                for line in child.stdout:
                    with contextlib.suppress(ValueError):  # half a line, when the watch is cut off
                        event = json.loads(line)
                        assert event["type"] != "ERROR", f"the watch of {path} lost its place: {line}"
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            seen.append(event["object"])

    def close(self) -> None:
        self._closed = True
        for child in self._children.values():
            child.terminate()
        for thread in self._threads:
            thread.join(timeout=10)
