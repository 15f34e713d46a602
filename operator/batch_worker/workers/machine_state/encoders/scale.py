"""Scaling shared by the encoders: columns of the windows, and features of the embedding."""

import numpy as np
import numpy.typing as npt

_FLAT = 1e-9
_SHRINK = 1.0
_FAR = 1e6  # deviations; beyond it squares would leave float32


class ColumnScale:
    """Each column minus its mean, over its standard deviation, in the labelled windows. A constant column becomes 0."""

    def __init__(self, windows: npt.NDArray[np.float64]) -> None:
        self._mean = windows.mean(axis=(0, 1))
        spread = windows.std(axis=(0, 1))
        flat = spread <= _FLAT * (np.abs(self._mean) + _FLAT)
        self._factor = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))

    def __call__(self, windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """(n, rows, columns) to the same shape."""
        scaled: npt.NDArray[np.float64] = np.clip((windows - self._mean) * self._factor, -_FAR, _FAR)
        return scaled.astype(np.float32)


class NoiseScale:
    """Each column minus the median level of the windows, over the median spread within a window.

    A column that stands still within most windows is scaled by its spread over all; one that always does becomes 0.
    """

    def __init__(self, windows: npt.NDArray[np.float64]) -> None:
        self._centre = np.median(windows.mean(axis=1), axis=0)
        least = _FLAT * (np.abs(self._centre) + _FLAT)
        within, overall = np.median(windows.std(axis=1), axis=0), windows.std(axis=(0, 1))
        spread = np.where(within > least, within, overall)
        self._factor = np.where(spread > least, 1.0 / np.maximum(spread, least), 0.0)

    def __call__(self, windows: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """(n, rows, columns) to (columns, rows, n): what lies together is worked on together."""
        scaled = np.clip((windows - self._centre) * self._factor, -_FAR, _FAR)
        return np.ascontiguousarray(scaled.transpose(2, 1, 0), dtype=np.float32)


class FeatureScale:
    """A block of features: each to mean 0, all together to a mean square sum of `weight` squared."""

    def __init__(self, features: npt.NDArray[np.float32], weight: float) -> None:
        self._mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = features.std(axis=0, dtype=np.float64)
        moving = spread > 1e-6
        share = weight / max(1, features.shape[1]) ** 0.5
        self._factor = np.where(moving, share / np.where(moving, spread, 1.0), 0.0).astype(np.float32)

    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, dims) to the same shape."""
        scaled: npt.NDArray[np.float32] = (features - self._mean) * self._factor
        return scaled


def projection(
    features: npt.NDArray[np.float32], classes: npt.NDArray[np.intp], components: int
) -> npt.NDArray[np.float32]:
    """(dims, at most `components`): centred features (n, dims) to principal components, measured in one class's spread.

    That class is the one of the smallest spread. Its covariance is shrunk towards a multiple of the identity, as it is
    estimated from few independent windows.
    """
    wide = features.astype(np.float64)
    strengths, sides = np.linalg.eigh(wide @ wide.T)  # n is smaller than dims, and this is faster than an SVD
    keep = np.flatnonzero(strengths > 1e-9 * max(strengths[-1], _FLAT))[::-1][:components]
    axes = wide.T @ (sides[:, keep] / np.sqrt(strengths[keep]))
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    embedded = wide @ axes
    spreads = [
        np.cov(embedded[classes == label].T).reshape(len(keep), len(keep))
        for label in np.unique(classes)
        if (classes == label).sum() > 1
    ]
    moving = [spread for spread in spreads if np.trace(spread) > 1e-6 * embedded.var(axis=0).sum()]
    if not moving:
        return np.ascontiguousarray(axes, dtype=np.float32)
    tightest = min(moving, key=np.trace)
    shrunk = tightest + _SHRINK * np.trace(tightest) / len(keep) * np.eye(len(keep))
    values, vectors = np.linalg.eigh(shrunk)
    whitened: npt.NDArray[np.float64] = axes @ (vectors / np.sqrt(values)) @ vectors.T
    small: npt.NDArray[np.float32] = whitened.astype(np.float32)
    return small
