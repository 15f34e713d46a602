"""stats_1: plain statistics of each column of the window. The fast encoder."""

import numpy as np
import numpy.typing as npt

from batch_worker.workers.machine_state.encoders.scale import ColumnScale, FeatureScale

_LAGS = (1, 2, 4, 8)


class StatsEncoder:
    """Implements Encoder; dims = 11 * columns: level, spread, roughness, trend, extremes, middle, autocorrelation."""

    def fit(self, windows: npt.NDArray[np.float64], classes: npt.NDArray[np.intp]) -> None:
        """Learn the scales."""
        self._columns = ColumnScale(windows)
        self._features = FeatureScale(self._describe(self._columns(windows)), weight=1.0)

    def encode(self, windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """The scaled statistics."""
        return self._features(self._describe(self._columns(windows)))

    @staticmethod
    def _describe(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        rows = windows.shape[1]
        mean = windows.mean(axis=1, keepdims=True)
        rest = windows - mean
        variance = (rest * rest).mean(axis=1)
        steps = np.diff(windows, axis=1)
        trend = (windows * np.linspace(-1, 1, rows, dtype=np.float32)[None, :, None]).mean(axis=1)
        described = [
            mean[:, 0],
            np.log(np.sqrt(variance) + 1e-3),
            np.log(steps.std(axis=1) + 1e-3),
            trend,
            windows.min(axis=1),
            windows.max(axis=1),
            np.median(windows, axis=1),
        ]
        for lag in _LAGS:
            if lag < rows:
                described.append((rest[:, lag:] * rest[:, :-lag]).mean(axis=1) / (variance + 1e-3))
        return np.concatenate(described, axis=1).astype(np.float32)
