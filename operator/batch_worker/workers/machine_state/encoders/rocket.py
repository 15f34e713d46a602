"""rocket_1, the default: random convolutional kernels and level counts, reduced to a few dimensions. numpy only.

After MiniRocket (Dempster, Schmidt, Webb, KDD 2021, arXiv:2012.08791), written from the paper: the 84 kernels of length
9 with weights -1 and 2, dilated, each on a mix of columns; a feature is the share of the window in which a kernel's
output is above a threshold, which is a quantile of its output in the labelled windows. Ours beyond that:

- Columns are scaled by their noise, the median of the spread within a window, so that one far-off state does not
  flatten what tells the others apart.
- Columns are dealt to the mixes evenly, which halves what the seed changes.
- The kernels sum to zero and see levels only at the window's ends. A second kind of feature sees them: the share of the
  window in which a signed mix, smoothed over 1, 9 and 33 rows, is above a threshold. Its weight is 1.5/columns of the
  first: with few columns the level often is the state, with many there is always one that merely drifts.
- The embedding is the first 32 principal components, measured in the spread of the class that moves least. Few
  dimensions keep the neighbours of a window from being one stretch of time; measured so, wandering as that class does
  counts for little.

Why each of them, with figures: docs/accuracy.md.
"""

from itertools import combinations

import numpy as np
import numpy.typing as npt

from batch_worker.workers.machine_state.encoders.scale import FeatureScale, NoiseScale, projection

Floats = npt.NDArray[np.float32]
Mix = list[list[tuple[int, int]]]  # for each kernel its columns, each with a sign

_TAPS = 9
_KERNELS = list(combinations(range(_TAPS), 3))
_DILATIONS = 7
_SHAPE_THRESHOLDS = 2
_LEVEL_THRESHOLDS = 3
_LEVEL_SHARE = 1.5
_MOST_MIXED = 9
_SMOOTHING = (1, 9, 33)
_COMPONENTS = 32
_CHUNK = 128
_GOLDEN = 0.6180339887


def _pairs() -> dict[tuple[int, int], tuple[int, int]]:
    """Which kernels, from and to, begin with each pair of taps."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for kernel, (first, second, _) in enumerate(_KERNELS):
        found[first, second] = (found.get((first, second), (kernel, 0))[0], kernel + 1)
    return found


_PAIRS = _pairs()


class RocketEncoder:
    """Implements Encoder. `seed` deals columns to kernels; the product always uses 0."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, windows: npt.NDArray[np.float64], classes: npt.NDArray[np.intp]) -> None:
        """Learn scales, thresholds and components."""
        self._scale = NoiseScale(windows)
        scaled = self._scale(windows)
        random = np.random.default_rng(self._seed)
        self._kinds: list[_Shapes | _Levels] = [_Shapes(scaled, random), _Levels(scaled, random)]
        features = [_in_chunks(kind, scaled) for kind in self._kinds]
        weights = (1.0, min(1.0, _LEVEL_SHARE / windows.shape[2]) ** 0.5)
        self._weigh = [FeatureScale(block, weight) for block, weight in zip(features, weights, strict=True)]
        weighed = [weigh(block) for weigh, block in zip(self._weigh, features, strict=True)]
        self._projection = projection(np.concatenate(weighed, axis=1), classes, _COMPONENTS)

    def encode(self, windows: npt.NDArray[np.float64]) -> Floats:
        """(n, rows, columns) to (n, at most 32)."""
        scaled = self._scale(windows)
        features = [weigh(kind(scaled)) for weigh, kind in zip(self._weigh, self._kinds, strict=True)]
        embedding: Floats = np.concatenate(features, axis=1) @ self._projection
        return embedding


def _in_chunks(kind: "_Shapes | _Levels", scaled: Floats) -> Floats:
    """All features of one kind, at the memory of a few windows."""
    count = scaled.shape[2]
    return np.concatenate([kind(scaled[:, :, start : start + _CHUNK]) for start in range(0, count, _CHUNK)])


class _Shapes:
    """Kernel features of scaled windows (columns, rows, n): (n, 84 * dilations * thresholds)."""

    def __init__(self, scaled: Floats, random: np.random.Generator) -> None:
        columns, rows, count = scaled.shape
        self._dilations = [d for d in range(1, _DILATIONS + 1) if d == 1 or (_TAPS - 1) * d < rows]
        self._mixes = [_mix(columns, random) for _ in self._dilations]
        sample = scaled[:, :, np.unique(np.linspace(0, count - 1, min(count, 256)).round().astype(int))]
        self._thresholds = [
            _quantiles(_convolve(sample, mix, dilation), place, _SHAPE_THRESHOLDS)
            for place, (dilation, mix) in enumerate(zip(self._dilations, self._mixes, strict=True))
        ]

    def __call__(self, scaled: Floats) -> Floats:
        found = []
        for dilation, mix, thresholds in zip(self._dilations, self._mixes, self._thresholds, strict=True):
            found += _shares_above(_convolve(scaled, mix, dilation), thresholds)
        return np.concatenate(found, axis=1)


class _Levels:
    """Level features of scaled windows (columns, rows, n): (n, 84 * widths * thresholds)."""

    def __init__(self, scaled: Floats, random: np.random.Generator) -> None:
        columns, rows, _ = scaled.shape
        self._widths = [width for width in _SMOOTHING if width <= rows]
        self._mixes = []
        for _ in self._widths:
            self._mixes.append(_signed(_mix(columns, random), random))
        self._thresholds = [
            _quantiles(_smooth(scaled, mix, width), place, _LEVEL_THRESHOLDS)
            for place, (width, mix) in enumerate(zip(self._widths, self._mixes, strict=True))
        ]

    def __call__(self, scaled: Floats) -> Floats:
        found = []
        for width, mix, thresholds in zip(self._widths, self._mixes, self._thresholds, strict=True):
            found += _shares_above(_smooth(scaled, mix, width), thresholds)
        return np.concatenate(found, axis=1)


def _mix(columns: int, random: np.random.Generator) -> Mix:
    """Which columns a kernel sees: fewer more often than many, every column equally often."""
    steps = (np.arange(len(_KERNELS)) + 0.5) / len(_KERNELS) * np.log2(min(columns, _MOST_MIXED) + 1)
    sizes = np.clip((2**steps).astype(int), 1, columns)
    random.shuffle(sizes)
    mix: Mix = []
    deck: list[int] = []
    for size in sizes:
        seen: list[int] = []
        while len(seen) < size:
            place = next((place for place, column in enumerate(deck) if column not in seen), None)
            if place is None:
                deck += random.permutation(columns).tolist()
            else:
                seen.append(deck.pop(place))
        mix.append([(column, 1) for column in sorted(seen)])
    return mix


def _signed(mix: Mix, random: np.random.Generator) -> Mix:
    """The same columns, each added or taken away."""
    return [[(column, int(random.choice([-1, 1]))) for column, _ in terms] for terms in mix]


def _mixed(scaled: Floats, mix: Mix, out: Floats) -> None:
    """(columns, rows, n) into `out` (84, rows, n), column by column.

    Most mixes are of few columns, so this is faster than a matrix product, and it is the same on every processor.
    """
    for target, ((first, sign), *others) in zip(out, mix, strict=True):
        np.multiply(scaled[first], np.float32(sign), out=target)
        for column, sign in others:
            (np.add if sign > 0 else np.subtract)(target, scaled[column], out=target)


def _smooth(scaled: Floats, mix: Mix, width: int) -> Floats:
    """(columns, rows, n) to (84, rows - width + 1, n): sums of `width` rows of the mixes."""
    mixed = np.empty((len(mix), *scaled.shape[1:]), dtype=np.float32)
    _mixed(scaled, mix, mixed)
    return moving_sum(mixed, width)


def _convolve(scaled: Floats, mix: Mix, dilation: int) -> Floats:
    """(columns, rows, n) to (84, rows, n); rows beyond the window count as 0.

    A kernel is three times its three taps minus all nine. The kernels are ordered by their taps, so those that share
    the first two lie together.
    """
    _, rows, count = scaled.shape
    margin = dilation * (_TAPS // 2)
    padded = np.zeros((len(_KERNELS), rows + 2 * margin, count), dtype=np.float32)
    _mixed(scaled, mix, padded[:, margin : margin + rows])
    everything = moving_sum(padded, _TAPS, dilation)
    padded *= 3
    output = np.empty((len(_KERNELS), rows, count), dtype=np.float32)
    for (first, second), (start, end) in _PAIRS.items():
        one, two = (padded[start:end, tap * dilation : tap * dilation + rows] for tap in (first, second))
        np.add(one, two, out=output[start:end])
    for kernel, (_, _, third) in enumerate(_KERNELS):
        output[kernel] += padded[kernel, third * dilation : third * dilation + rows]
    output -= everything
    return output


def moving_sum(values: Floats, width: int, dilation: int = 1) -> Floats:
    """Sums of `width` rows, `dilation` apart: (m, rows, n) to (m, rows - (width - 1) * dilation, n), by doubling."""
    length = values.shape[1] - (width - 1) * dilation
    total: Floats | None = None
    block, size, used = values, 1, 0
    while True:
        if width & size:
            part = block[:, used * dilation : used * dilation + length]
            total = part if total is None else total + part
            used += size
        if 2 * size > width:
            break
        block = block[:, : -size * dilation] + block[:, size * dilation :]
        size *= 2
    assert total is not None
    return total


def _quantiles(output: Floats, place: int, count: int) -> Floats:
    """(count, 84): thresholds of each kernel, at quantiles that a low-discrepancy sequence spreads over all kernels."""
    kernels = len(output)
    shares = ((np.arange(kernels * count) + place * kernels * count + 1) * _GOLDEN % 1).reshape(kernels, count)
    found = [np.quantile(values, share) for values, share in zip(output.reshape(kernels, -1), shares, strict=True)]
    return np.stack(found, axis=1).astype(np.float32)


def _shares_above(values: Floats, thresholds: Floats) -> list[Floats]:
    """(m, rows, n) to (n, m) for each of the thresholds (count, m): the share of rows above it."""
    rows = values.shape[1]
    wide = np.uint8 if rows < 256 else np.uint16
    return [
        np.add.reduce((values > limits[:, None, None]).view(np.uint8), axis=1, dtype=wide).T / np.float32(rows)
        for limits in thresholds
    ]
