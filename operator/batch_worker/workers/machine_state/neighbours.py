"""Exact k-nearest-neighbour classification with one answer for each question, ties included.

Candidates come from one float32 matrix product; their distances are then computed again, directly, in float64, so that
neither rounding nor the shape of the product decides. Equal distances: the earlier reference window is nearer.
Equal votes: the class of the nearest neighbour among those that tie.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_SPARE = 16
_CHUNK = 32


class Neighbours:
    """`metric` and `weights` as in settings; weights "distance" is 1/distance, where a distance of 0
    outvotes all others.
    """

    def __init__(self, n_neighbors: int, metric: str, weights: str, normalize: bool) -> None:
        self._k, self._metric, self._weights, self._normalize = n_neighbors, metric, weights, normalize

    def fit(self, embeddings: Floats, classes: npt.NDArray[np.intp], count: int) -> None:
        """`embeddings` (references, dims), `classes` (references) as numbers below `count`.

        At least n_neighbors references.
        """
        if len(embeddings) < self._k:
            raise ValueError(f"{len(embeddings)} references, fewer than {self._k} neighbours")
        self._references, self._classes, self._count = self._prepare(embeddings), classes, count
        self._squares = np.einsum("ij,ij->i", self._references, self._references)

    def classify(self, embeddings: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """The class of each query (n, dims), and its share of the votes, 0 to 1."""
        queries = self._prepare(embeddings)
        answers = [self._vote(*self._nearest(queries[i : i + _CHUNK])) for i in range(0, len(queries), _CHUNK)]
        return np.concatenate([a for a, _ in answers]), np.concatenate([b for _, b in answers])

    def _prepare(self, embeddings: Floats) -> Floats:
        if self._metric != "cosine" and not self._normalize:
            return np.ascontiguousarray(embeddings)
        length = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64))
        return np.ascontiguousarray((embeddings / np.where(length > 0, length, 1.0)[:, None]).astype(np.float32))

    def _nearest(self, queries: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Reference numbers and distances (n, k), nearest first."""
        if self._metric == "manhattan":
            coarse = np.stack([np.abs(self._references - query).sum(axis=1) for query in queries])
        else:  # after normalising, cosine ranks as euclidean does
            coarse = self._squares - 2 * (queries @ self._references.T)
        spare = min(self._k + _SPARE, len(self._references))
        found = np.sort(np.argpartition(coarse, spare - 1, axis=1)[:, :spare], axis=1)
        apart = self._references[found].astype(np.float64) - queries[:, None, :]
        if self._metric == "manhattan":
            exact = np.abs(apart).sum(axis=2)
        else:
            exact = np.einsum("ijk,ijk->ij", apart, apart)
            exact = exact / 2 if self._metric == "cosine" else np.sqrt(exact)
        exact = _round(exact)
        order = np.argsort(exact, axis=1, kind="stable")[:, : self._k]
        return np.take_along_axis(found, order, axis=1), np.take_along_axis(exact, order, axis=1)

    def _vote(
        self, found: npt.NDArray[np.intp], distances: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        votes = np.ones_like(distances)
        if self._weights == "distance":
            same = distances == 0
            votes = np.where(same.any(axis=1, keepdims=True), same, 1 / np.where(same, 1.0, distances))
        classes = self._classes[found]
        shares = np.stack([(votes * (classes == number)).sum(axis=1) for number in range(self._count)], axis=1)
        shares = _round(shares / shares.sum(axis=1, keepdims=True))
        best = shares.max(axis=1, keepdims=True)
        ties = np.take_along_axis(shares, classes, axis=1) == best
        winner = np.take_along_axis(classes, ties.argmax(axis=1)[:, None], axis=1)[:, 0]
        return winner, best[:, 0]


def _round(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """To 30 binary digits: what lies below is noise of the order of summation, and must not break a tie."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2.0**30) / 2.0**30, exponent)
