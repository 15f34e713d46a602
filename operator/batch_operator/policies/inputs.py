"""The job's input files against the pipeline's ports, and the numbers that inputs are known by.

Inputs are numbered once: tracked (scatter) ports sorted by name, files in list order (design section 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batch_operator.api.v1alpha1.batchjob import BatchJobSpec, InputFile
from batch_operator.api.v1alpha1.pipeline import InputPort, PipelineSpec
from batch_operator.policies.verdict import InvalidRequest


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the job file says of files."""

    numbered: tuple[dict[str, Any], ...]
    """Files of tracked ports; an input's number is its place here."""
    references: dict[str, list[dict[str, Any]]]
    """Files of replicated ports, by port."""


def number(spec: BatchJobSpec, pipeline: PipelineSpec) -> Inputs:
    """Raises InvalidRequest naming the port or the file."""
    ports = {port.name: port for port in pipeline.input_ports or ()}
    given = spec.inputs or {}
    for name in given:
        if name not in ports:
            raise InvalidRequest(
                f"inputs.{name}: pipeline '{pipeline.key}' {pipeline.version} has no such port",
                f"Its input ports are: {', '.join(sorted(ports)) or 'none'}.",
            )
    for port in ports.values():
        _check(port, given.get(port.name) or ())
    numbered = [
        {"port": name, **_entry(file)}
        for name in sorted(ports)
        if ports[name].tracked
        for file in given.get(name) or ()
    ]
    references = {
        name: [_entry(file) for file in given.get(name) or ()] for name in sorted(ports) if not ports[name].tracked
    }
    return Inputs(tuple(numbered), references)


def _check(port: InputPort, files: Sequence[InputFile]) -> None:
    if port.required and not files:
        raise InvalidRequest(
            f"inputs.{port.name}: the pipeline requires at least one file here",
            f"Add files to spec.inputs.{port.name}" + (f": {port.description}" if port.description else "."),
        )
    for place, file in enumerate(files):
        missing = [key for key in port.required_metadata or () if not (file.metadata or {}).get(key)]
        if missing:
            raise InvalidRequest(
                f"inputs.{port.name}[{place}].metadata.{missing[0]}: missing for file '{file.file_id}'",
                f"Every file of {port.name} needs metadata: {', '.join(port.required_metadata or ())}.",
            )


def _entry(file: InputFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"file_id": file.file_id}
    if file.metadata:
        entry["metadata"] = dict(file.metadata)
    return entry


def blocks(numbers: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """`numbers` cut into `parts` contiguous blocks whose sizes differ by at most one."""
    size, larger = divmod(len(numbers), parts) if parts else (0, 0)
    result: list[tuple[int, ...]] = []
    start = 0
    for part in range(parts):
        end = start + size + (part < larger)
        result.append(tuple(numbers[start:end]))
        start = end
    return result
