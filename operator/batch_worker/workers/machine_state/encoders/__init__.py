"""Encoders: a window of sensor rows in, a vector (its embedding) out. `model_type` in the config names one.

Other packages add encoders by an entry point of the group batch_worker.encoders; see registry.py and docs/pod-
contract.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from batch_worker import registry
from batch_worker.errors import InvalidConfig

DEFAULT = "rocket_1"
# The names of the vendor's models, which the batch API's own examples carry. They are not its models: our default runs.
ALIASES = {name: DEFAULT for name in ("omega_1_3_power_drive", "omega_1_3_surface", "omega_1_4_base", "omega_1_5_base")}


class Encoder(Protocol):
    """Fitted on the labelled windows only, never on what it is asked to classify. Equal calls give equal bytes."""

    def fit(self, windows: npt.NDArray[np.float64], classes: npt.NDArray[np.intp]) -> None:
        """`windows` (n, rows, columns) without missing values, `classes` (n) as small numbers."""

    def encode(self, windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """`windows` (n, rows, columns) to (n, dims), each row depending on its own window only."""


@dataclass(frozen=True)
class Chosen:
    """The encoder that really runs."""

    name: str
    make: Callable[[], Encoder]


def find(model_type: str, path: str) -> Chosen:
    """The encoder for a `model_type`, aliases resolved. Raises InvalidConfig naming `path`."""
    name = ALIASES.get(model_type, model_type)
    try:
        return Chosen(name, registry.find(registry.ENCODERS, name))
    except KeyError:
        known = ", ".join([*registry.names(registry.ENCODERS), *ALIASES])
        raise InvalidConfig(f"{path}: there is no encoder {model_type!r}", f"Use one of {known}.") from None
