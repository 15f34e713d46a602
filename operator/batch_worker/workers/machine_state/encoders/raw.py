"""raw_1: the window itself, each column scaled.

The plain baseline: good beside its references, poor further on in time.
"""

import numpy as np
import numpy.typing as npt

from batch_worker.workers.machine_state.encoders.scale import ColumnScale


class RawEncoder:
    """Implements Encoder; dims = rows * columns."""

    def fit(self, windows: npt.NDArray[np.float64], classes: npt.NDArray[np.intp]) -> None:
        """Learn the columns' scale."""
        self._scale = ColumnScale(windows)

    def encode(self, windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """The scaled values, row by row."""
        return self._scale(windows).reshape(len(windows), -1)
