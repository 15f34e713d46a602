"""The job file: what a pod reads of its job, and where the operator pins what it resolved.

One canonical JSON document per job (docs/pod-contract.md); its SHA-256 is the job's ledger.spec_hash and
each pod's BATCH_JOB_SHA256, so that neither side works with a document that somebody else put there.
"""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeVar, cast

import orjson

from batch_operator.api.v1alpha1.pipeline import Component, Storage
from batch_operator.api.v1alpha1.schema_types import ApiModel, Policy

_Part = TypeVar("_Part", bound=ApiModel)
MAX_CONTENT = 16 * 1024 * 1024
"""More is never unpacked: a ConfigMap that somebody replaced may hold 1 MiB that unpacks to a gigabyte."""


class JobFileError(ValueError):
    """The bytes are no job file; str() says why."""


@dataclass(frozen=True)
class JobFile:
    """One job file: its bytes, their hash, and the typed parts that decisions read."""

    content: bytes
    """Canonical JSON: UTF-8, sorted keys, no white space."""
    sha256: str
    document: Mapping[str, Any]

    @classmethod
    def encode(cls, document: Mapping[str, Any]) -> "JobFile":
        content = _canonical(document)
        return cls(content, hashlib.sha256(content).hexdigest(), document)

    @classmethod
    def decode(cls, compressed: bytes) -> "JobFile":
        """Raises JobFileError. The hash is the content's own: whether it is the right one is for the caller."""
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # gzip's header
        try:
            content = unpacker.decompress(compressed, MAX_CONTENT + 1)
            document = orjson.loads(content) if len(content) <= MAX_CONTENT else None
        except (zlib.error, orjson.JSONDecodeError) as error:
            raise JobFileError(f"not a gzipped JSON document: {error}") from None
        if len(content) > MAX_CONTENT:
            raise JobFileError(f"larger than {MAX_CONTENT} bytes")
        if not isinstance(document, dict):
            raise JobFileError("not a JSON object")
        return cls(content, hashlib.sha256(content).hexdigest(), document)

    def compressed(self) -> bytes:
        """The same bytes each time: gzip's header carries no time."""
        return self._compressed

    @cached_property
    def _compressed(self) -> bytes:
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def components(self) -> Mapping[str, Component]:
        return {name: _part(Component, _canonical(raw)) for name, raw in self.document["components"].items()}

    @cached_property
    def storage(self) -> Storage:
        return _part(Storage, _canonical(self.document["storage"]))

    @cached_property
    def retry_policy(self) -> Policy:
        return _part(Policy, _canonical(self.document["retry_policy"]))

    @cached_property
    def numbers(self) -> Mapping[str, tuple[int, ...]]:
        """Input numbers by component; a component that has no tracked port is not in it."""
        tracked = {port["name"] for port in self.document["input_ports"] if port["tracked"]}
        numbers: dict[str, list[int]] = {port.split(".")[0]: [] for port in sorted(tracked)}
        for number, item in enumerate(self.document["inputs"]):
            numbers[item["port"].split(".")[0]].append(number)
        return {component: tuple(found) for component, found in numbers.items()}

    @cached_property
    def number_sets(self) -> Mapping[str, frozenset[int]]:
        return {component: frozenset(found) for component, found in self.numbers.items()}

    @property
    def input_count(self) -> int:
        return len(self.document["inputs"])

    def file_id(self, number: int) -> str:
        return str(self.document["inputs"][number]["file_id"])

    def parallelism(self, component: str) -> int:
        """Number of pods: what was asked for, but never more than the component has inputs."""
        asked = int(self.document["parameters"][component]["parallelism"])
        numbers = self.numbers.get(component)
        return asked if numbers is None else min(asked, len(numbers))


def _canonical(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _part(kind: type[_Part], written: bytes) -> _Part:
    return cast(_Part, _read(kind, written))


@lru_cache(maxsize=256)
def _read(kind: type[ApiModel], written: bytes) -> ApiModel:
    """A pipeline's jobs all bring the same components, storage and policy."""
    return kind.model_validate(orjson.loads(written))
