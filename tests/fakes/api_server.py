"""`FakeAPIServer`: the API server's semantics in memory, for tests of the operator without a cluster.

Every rule here that an operator can notice is held against the real server by tests/contract/api_server.
Synchronous; `client.FakeClient` puts the operator's own Client interface on top. Nothing is simulated that
nobody here uses: no server-side apply, no conversion, no RBAC.
"""

import base64
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal
from uuid import NAMESPACE_OID, uuid5

import orjson

from tests.fakes.clock import SimulatedClock
from tests.fakes.json_merge import merged
from tests.fakes.resource_types import (
    DISRUPTION_BUDGETS,
    NAMESPACES,
    PODS,
    RESOURCE_QUOTAS,
    Address,
    Object,
    ResourceType,
    address,
    conflict,
    first_pod_status,
    modified,
    not_found,
    refusal,
    validate,
    validate_change,
    with_defaults,
)
from tests.fakes.watch_log import Commit, WatchLog, WatchStream, parse_selector

FIRST_VERSION = 1000
GARBAGE_SECONDS = 0.2
DEFAULT_GRACE_SECONDS = 30
TERMINAL_PHASES = ("Succeeded", "Failed")
Params = Mapping[str, str | int | bool]
Change = Literal["ADDED", "MODIFIED", "DELETED"]


class FakeAPIServer:
    """Objects by resource, namespace and name. `log` is its history; `subscribe` hears every commit at once."""

    def __init__(self, clock: SimulatedClock | None = None) -> None:
        self.clock = clock or SimulatedClock()
        self.log = WatchLog(FIRST_VERSION)
        self._objects: dict[ResourceType, dict[tuple[str, str], Object]] = {}
        self._uids: dict[str, Address] = {}
        self._made = 0
        self._made_of: Counter[str] = Counter()
        self._pages: dict[str, tuple[int, list[Object]]] = {}
        self._streams: list[WatchStream] = []
        self._listeners: list[Callable[[Commit], None]] = []
        self.webhooks: list[Callable[[ResourceType, Object], None]] = []
        """Each may change an object before it is stored for the first time."""

    # -- reading

    def get(self, path: str) -> Object:
        return self._stored(address(path))

    def exists(self, uid: str) -> bool:
        return uid in self._uids

    def list_page(self, path: str, params: Params | None = None, *, as_of: int | None = None) -> Object:
        """One page as the server sends it: items in order of namespace and name, and a continue token.

        `as_of`: a version of the past, as a cache that lags behind would answer.
        """
        given = dict(params or {})
        where = address(path)
        token = str(given.get("continue") or "")
        if token:
            if token not in self._pages:
                raise refusal(410, "Expired", "The provided continue parameter is too old to display a consistent list")
            version, items = self._pages.pop(token)
        else:
            asked = int(given.get("resourceVersion") or 0)
            if asked > self.log.version:
                raise refusal(504, "Timeout", f"Too large resource version: {asked}, current: {self.log.version}")
            selector = str(given.get("labelSelector", ""))
            version = self.log.version if as_of is None else max(as_of, FIRST_VERSION)
            items = self._matching(where, selector, None if as_of is None else self._past(where.resource, version))
        limit = int(given.get("limit") or 0) or len(items)
        meta: Object = {"resourceVersion": str(version)}
        if len(items) > limit:
            meta["continue"] = base64.b64encode(f"{version}/{len(self._pages)}/{len(items)}".encode()).decode()
            self._pages[meta["continue"]] = (version, items[limit:])
        return {"kind": f"{where.resource.kind}List", "metadata": meta, "items": items[:limit]}

    def watch(self, path: str, params: Params | None = None) -> WatchStream:
        given = dict(params or {})
        where = address(path)
        begin_now = str(given.get("resourceVersion") or "0") == "0"
        initial = self._matching(where, str(given.get("labelSelector", ""))) if begin_now else []
        stream = WatchStream(self.log, self.clock, where.resource, where.namespace, given, initial=initial)
        self._streams = [known for known in self._streams if not known.ended]
        self._streams.append(stream)
        return stream

    def subscribe(self, listener: Callable[[Commit], None]) -> None:
        self._listeners.append(listener)

    # -- writing

    def create(self, path: str, obj: Mapping[str, Any], *, actor: str = "tester") -> Object:
        where = address(path)
        if where.subresource == "eviction":
            return self._evict(where, actor)
        resource, new = where.resource, _copied(obj)
        meta = new.setdefault("metadata", {})
        self._made += 1
        if resource.namespaced:
            if where.namespace != meta.setdefault("namespace", where.namespace):
                words = "the namespace of the provided object does not match the namespace sent on the request"
                raise refusal(400, "BadRequest", words)
            if (("", where.namespace)) not in self._objects.get(NAMESPACES, {}):
                raise not_found(NAMESPACES, where.namespace)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = f"{meta['generateName']}{self._made:05x}"
        for mutate in self.webhooks:
            mutate(resource, new)
        validate(resource, new)
        new = with_defaults(resource, new)
        if (where.namespace, meta["name"]) in self._objects.get(resource, {}):
            raise refusal(409, "AlreadyExists", f'{resource.qualified} "{meta["name"]}" already exists')
        if resource is PODS:
            self._check_quota(where.namespace, meta["name"])
        if resource.status:
            new.pop("status", None)
        if resource is PODS:
            new["status"] = first_pod_status(new, self.clock.timestamp())
        new |= {"apiVersion": resource.api_version, "kind": resource.kind}
        identity = f"{resource.plural}/{where.namespace}/{meta['name']}"
        self._made_of[identity] += 1  # so that it does not depend on what else was made before
        meta["uid"] = str(uuid5(NAMESPACE_OID, f"{identity}/{self._made_of[identity]}"))
        meta["creationTimestamp"] = self.clock.timestamp()
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            meta.pop(field, None)
        if resource.generation:
            meta["generation"] = 1
        made = self._commit("ADDED", Address(resource, where.namespace, meta["name"]), new, actor)
        if any(not self.exists(owner["uid"]) for owner in meta.get("ownerReferences") or ()):
            self.clock.call_after(GARBAGE_SECONDS, self._collect_garbage)
        return made

    def update(self, path: str, obj: Mapping[str, Any], *, actor: str = "tester") -> Object:
        where = address(path)
        if where.resource.made_by_update and (where.namespace, where.name) not in self._objects.get(where.resource, {}):
            if uid := obj["metadata"].get("uid"):
                raise conflict(where.resource, where.name, f"Precondition failed: UID in precondition: {uid}")
            return self.create(path.rsplit("/", 1)[0], obj, actor=actor)
        old = self._stored(where)
        given = _copied(obj)
        if not given["metadata"].get("resourceVersion") and where.resource.group:
            raise refusal(422, "Invalid", "metadata.resourceVersion: Invalid value: 0: must be specified for an update")
        return self._changed(where, old, given, given["metadata"], actor)

    def patch(self, path: str, patch: Mapping[str, Any], *, actor: str = "tester") -> Object:
        """JSON merge patch (RFC 7396) of the object, or of its status where the path ends in /status."""
        where = address(path)
        old = self._stored(where)
        return self._changed(where, old, merged(old, _copied(patch)), patch.get("metadata") or {}, actor)

    def delete(
        self,
        path: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        resource_version: str | None = None,
        actor: str = "tester",
    ) -> Object:
        """Graceful for pods that a node may be running; at once for everything else."""
        where = address(path)
        stored_now = self._stored(where)
        meta = dict(stored_now["metadata"])
        obj = {**stored_now, "metadata": meta}
        for field, given, stored, perhaps in (
            ("UID", uid, meta["uid"], "deleted and then recreated"),
            ("ResourceVersion", resource_version, meta["resourceVersion"], "modified"),
        ):
            if given is not None and given != stored:
                why = f"the {field} in the precondition ({given}) does not match the {field} in record ({stored})"
                raise conflict(where.resource, where.name, f"{why}. The object might have been {perhaps}")
        grace = _grace(where.resource, obj, grace_seconds)
        known = meta.get("deletionGracePeriodSeconds")
        if known and grace >= known:
            return stored_now  # a second delete may only shorten the first one's grace
        if grace > 0 or meta.get("finalizers"):
            meta |= {"deletionTimestamp": self.clock.timestamp(grace), "deletionGracePeriodSeconds": grace}
            if where.resource.generation:
                meta["generation"] += 1
            return self._commit("MODIFIED", where, obj, actor)
        if where.resource is PODS:
            meta |= {"deletionTimestamp": self.clock.timestamp(), "deletionGracePeriodSeconds": 0}
        gone = self._remove(where, obj, actor)
        if where.resource in (PODS, NAMESPACES):
            return gone
        details = {"name": where.name, "kind": where.resource.plural, "uid": meta["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": details}

    # -- what a test can do to it

    def compact(self) -> None:
        """Every version before now is too old for a watch, and every continue token has expired."""
        self.log.oldest = self.log.version
        self._pages.clear()

    def end_streams(self, error: Object | None = None) -> None:
        for stream in self._streams:
            stream.close(error)

    # -- inside

    def _stored(self, where: Address) -> Object:
        found = self._objects.get(where.resource, {}).get((where.namespace, where.name))
        if found is None:
            raise not_found(where.resource, where.name)
        return found

    def _past(self, resource: ResourceType, version: int) -> dict[tuple[str, str], Object]:
        """The objects as they were at that version."""
        objects: dict[tuple[str, str], Object] = {}
        for commit in self.log.of(resource):
            if commit.version > version:
                break
            objects.pop((commit.namespace, commit.name), None)
            if commit.type != "DELETED":
                objects[(commit.namespace, commit.name)] = commit.object
        return objects

    def _matching(
        self, where: Address, selector: str, among: Mapping[tuple[str, str], Object] | None = None
    ) -> list[Object]:
        matches = parse_selector(selector)
        objects = self._objects.get(where.resource, {}) if among is None else among
        found = sorted(objects.items(), key=lambda item: item[0])
        return [obj for (namespace, _), obj in found if where.namespace in ("", namespace) and matches(obj)]

    def _changed(
        self, where: Address, old: Object, given: Object, preconditions: Mapping[str, Any], actor: str
    ) -> Object:
        """What of `given` may be written through this path; nothing is committed where nothing differs."""
        version, uid = preconditions.get("resourceVersion"), preconditions.get("uid")
        if version and version != old["metadata"]["resourceVersion"]:
            raise modified(where.resource, where.name)
        if uid and uid != old["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
            raise conflict(where.resource, where.name, why)
        if where.subresource == "status":
            new = {key: value for key, value in old.items() if key != "status"}
            if "status" in given:
                new["status"] = given["status"]
        else:
            new = given
            if where.resource.status:
                new = {key: value for key, value in given.items() if key != "status"}
                if "status" in old:
                    new["status"] = old["status"]
            new["metadata"] = _kept_metadata(old["metadata"], given["metadata"])
            validate(where.resource, new)
            new = with_defaults(where.resource, new)
            validate_change(where.resource, old, new)
        if where.resource.generation and _without(new) != _without(old):
            new["metadata"] = new["metadata"] | {"generation": old["metadata"]["generation"] + 1}
        if new == old:
            return old
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers") and _at_once(where, new):
            return self._remove(where, new, actor)
        return self._commit("MODIFIED", where, new, actor)

    def _commit(self, change: Change, where: Address, obj: Object, actor: str) -> Object:
        version = self.log.version + 1
        obj = {**obj, "metadata": obj["metadata"] | {"resourceVersion": str(version)}}
        objects = self._objects.setdefault(where.resource, {})
        key = (where.namespace, where.name)
        before = objects.get(key)
        if change == "DELETED":
            del objects[key]
            del self._uids[obj["metadata"]["uid"]]
        else:
            objects[key] = obj
            self._uids[obj["metadata"]["uid"]] = where
        commit = Commit(version, self.clock.time(), actor, change, where.resource, *key, obj, before)
        self.log.append(commit)
        for listener in self._listeners:
            listener(commit)
        for stream in self._streams:
            stream.wake()
        return obj

    def _remove(self, where: Address, obj: Object, actor: str) -> Object:
        gone = self._commit("DELETED", where, obj, actor)
        if where.resource is NAMESPACES:
            for resource, objects in self._objects.items():
                for namespace, name in [key for key in objects if key[0] == where.name]:
                    inside = Address(resource, namespace, name)
                    self._commit("DELETED", inside, self._stored(inside), "namespace-controller")
        self.clock.call_after(GARBAGE_SECONDS, self._collect_garbage)
        return gone

    def _collect_garbage(self) -> None:
        """Deletes, as a user would, what has owners and none of them exists."""
        orphans = [
            (Address(resource, *key), obj["metadata"]["uid"])
            for resource, objects in self._objects.items()
            for key, obj in objects.items()
            if (owners := obj["metadata"].get("ownerReferences"))
            and not any(self.exists(owner["uid"]) for owner in owners)
            and "deletionTimestamp" not in obj["metadata"]
        ]
        for where, uid in orphans:
            self.delete(path_of(where), uid=uid, actor="garbage-collector")

    def _evict(self, where: Address, actor: str) -> Object:
        """POST of pods/eviction: refused while a budget allows none, else a mark and a delete."""
        pod = self._stored(where)
        labels = pod["metadata"].get("labels") or {}
        for budget in self._matching(Address(DISRUPTION_BUDGETS, where.namespace), ""):
            wanted = budget["spec"].get("selector", {}).get("matchLabels", {})
            allowed = budget.get("status", {}).get("disruptionsAllowed", 0)
            if pod["status"]["phase"] == "Running" and wanted.items() <= labels.items() and allowed <= 0:
                words = "Cannot evict pod as it would violate the pod's disruption budget."
                raise refusal(429, "TooManyRequests", words, retryAfterSeconds=10)
        conditions = [c for c in pod["status"].get("conditions") or () if c["type"] != "DisruptionTarget"]
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastTransitionTime": self.clock.timestamp(),
        }
        path = path_of(where)
        self.patch(f"{path}/status", {"status": {"conditions": [*conditions, target]}}, actor=actor)
        self.delete(path, uid=pod["metadata"]["uid"], actor=actor)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}

    def _check_quota(self, namespace: str, name: str) -> None:
        for quota in self._matching(Address(RESOURCE_QUOTAS, namespace), ""):
            hard = quota["spec"].get("hard", {}).get("pods")
            pods = self._matching(Address(PODS, namespace), "")
            used = sum(pod["status"].get("phase") not in TERMINAL_PHASES for pod in pods)
            if hard is not None and used + 1 > int(hard):
                words = f"exceeded quota: {quota['metadata']['name']}, requested: pods=1, used: pods={used}"
                raise refusal(403, "Forbidden", f'pods "{name}" is forbidden: {words}, limited: pods={hard}')


def path_of(where: Address) -> str:
    row = where.resource
    parts = ["/apis", row.group, row.version] if row.group else ["/api", row.version]
    if where.namespace:
        parts += ["namespaces", where.namespace]
    return "/".join([*parts, row.plural, *([where.name] if where.name else [])])


def _copied(obj: Mapping[str, Any]) -> Object:
    """What the wire would make of it: JSON, and nobody else's."""
    copied: Object = orjson.loads(orjson.dumps(obj))
    return copied


def _without(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _kept_metadata(old: Object, given: Object) -> Object:
    """What no client can change stays; deletion goes by DELETE alone."""
    identity = ("uid", "name", "namespace", "creationTimestamp", "generation", "resourceVersion")
    fixed = (*identity, "deletionTimestamp", "deletionGracePeriodSeconds")
    free = {key: value for key, value in given.items() if key not in fixed}
    return free | {key: old[key] for key in fixed if key in old}


def _grace(resource: ResourceType, obj: Object, asked: int | None) -> int:
    """Seconds: 0 for what no node can be running."""
    if resource is not PODS or not obj["spec"].get("nodeName"):
        return 0
    if obj.get("status", {}).get("phase") in TERMINAL_PHASES:
        return 0
    given = obj["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS) if asked is None else asked
    return int(given)


def _at_once(where: Address, obj: Object) -> bool:
    return where.resource is not PODS or obj["metadata"].get("deletionGracePeriodSeconds") == 0
