"""What the pod was told: the environment and the job file (pod contract: design section 4, docs/pod-contract.md).

`runner` reads both once, at the start; everything after that gets values.
"""

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch_worker import ranges
from batch_worker.errors import InvalidConfig

_MOST_BYTES = 64 * 1024 * 1024
_OPERATOR_BUG = "The operator writes this; look at its log, and at who else may write to the job's namespace."


@dataclass(frozen=True)
class Input:
    """One file of a port. `number` is its place among the tracked inputs; a reference file has its place in
    its port.
    """

    number: int
    port: str
    file_id: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Environment:
    """The BATCH_* variables. Without `progress_url` there are no reports, only the termination message."""

    job_file: Path
    job_sha256: str
    component: str
    index: int
    parallelism: int
    attempt: int
    inputs: tuple[int, ...]
    output_url: str
    progress_url: str
    token_file: Path | None
    ca_file: Path | None
    termination_log: Path

    @classmethod
    def read(cls, env: Mapping[str, str]) -> "Environment":
        """Raises InvalidConfig, naming the variable, where one is missing or malformed."""

        def text(name: str) -> str:
            value = env.get(name)
            if value is None:
                raise InvalidConfig(f"the environment variable {name} is missing", _OPERATOR_BUG)
            return value

        def number(name: str) -> int:
            value = text(name)
            if not value.isascii() or not value.isdigit():
                raise InvalidConfig(f"the environment variable {name} is {value!r}, not a number", _OPERATOR_BUG)
            return int(value)

        try:
            inputs = tuple(ranges.parse(text("BATCH_INPUTS")))
        except ValueError as error:
            raise InvalidConfig(f"the environment variable BATCH_INPUTS: {error}", _OPERATOR_BUG) from error
        return cls(
            job_file=Path(text("BATCH_JOB_FILE")),
            job_sha256=text("BATCH_JOB_SHA256").lower(),
            component=text("BATCH_COMPONENT"),
            index=number("BATCH_INDEX"),
            parallelism=number("BATCH_PARALLELISM"),
            attempt=number("BATCH_ATTEMPT"),
            inputs=inputs,
            output_url=text("BATCH_OUTPUT_URL").rstrip("/"),
            progress_url=env.get("BATCH_PROGRESS_URL", ""),
            token_file=_path(env, "BATCH_PROGRESS_TOKEN_FILE"),
            ca_file=_path(env, "BATCH_PROGRESS_CA_FILE"),
            termination_log=Path(env.get("BATCH_TERMINATION_LOG", "/dev/termination-log")),
        )


def _path(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]) if env.get(name) else None


@dataclass(frozen=True)
class Job:
    """One component's view of the job: its resolved config, the inputs of this pod's block, the reference files."""

    id: str
    name: str
    component: str
    config: Mapping[str, Any]
    inputs_url: str
    inputs: tuple[Input, ...]
    references: Mapping[str, tuple[Input, ...]]
    output_port: str
    attempt: int = 0


def load(environment: Environment) -> Job:
    """Read and check the job file.

    Raises InvalidConfig: code TAMPERED where its bytes are not those that the operator hashed, else INVALID_REQUEST.
    """
    try:
        with gzip.open(environment.job_file) as file:
            body = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError) as error:
        raise InvalidConfig(
            f"the job file {environment.job_file} cannot be read: {error}",
            _OPERATOR_BUG,
            code="TAMPERED" if isinstance(error, (EOFError, gzip.BadGzipFile)) else "INVALID_REQUEST",
        ) from error
    if len(body) > _MOST_BYTES or hashlib.sha256(body).hexdigest() != environment.job_sha256:
        raise InvalidConfig(
            f"the job file {environment.job_file} is not the one that the operator wrote (sha256 differs)",
            "Someone replaced the job's ConfigMap. Look at who may write ConfigMaps in this namespace.",
            code="TAMPERED",
        )
    try:
        return _job(json.loads(body), environment)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidConfig(
            f"the job file does not have the shape of docs/pod-contract.md: {type(error).__name__}: {error}",
            "Operator and worker image do not fit together; use the same release of both.",
        ) from error


def _job(body: Mapping[str, Any], environment: Environment) -> Job:
    component = environment.component
    listed = body["inputs"]
    beyond = [number for number in environment.inputs if number >= len(listed)]
    if beyond:
        raise InvalidConfig(f"BATCH_INPUTS names input {beyond[0]}, but the job has only {len(listed)}", _OPERATOR_BUG)
    references = {
        port: tuple(_input(place, port, item) for place, item in enumerate(items))
        for port, items in body["references"].items()
        if port.split(".")[0] == component
    }
    outputs = [port["name"] for port in body["output_ports"] if port["name"].split(".")[0] == component]
    return Job(
        id=body["id"],
        name=body["name"],
        component=component,
        config=body["parameters"][component].get("config") or {},
        inputs_url=body["inputs_url"].rstrip("/"),
        inputs=tuple(_input(number, listed[number]["port"], listed[number]) for number in environment.inputs),
        references=references,
        output_port=outputs[0] if outputs else f"{component}.results",
        attempt=environment.attempt,
    )


def _input(number: int, port: str, item: Mapping[str, Any]) -> Input:
    return Input(number, port, item["file_id"], dict(item.get("metadata") or {}))
