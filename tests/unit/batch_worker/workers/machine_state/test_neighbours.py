import numpy as np
import pytest

from batch_worker.workers.machine_state.neighbours import Neighbours


def classify(
    references: list[list[float]], classes: list[int], queries: list[list[float]], **options: object
) -> tuple[list[int], list[float]]:
    chosen: dict[str, object] = {
        "n_neighbors": 3,
        "metric": "euclidean",
        "weights": "uniform",
        "normalize": False,
        **options,
    }
    neighbours = Neighbours(**chosen)  # type: ignore[arg-type]
    neighbours.fit(np.array(references, dtype=np.float32), np.array(classes), max(classes) + 1)
    found, shares = neighbours.classify(np.array(queries, dtype=np.float32))
    return found.tolist(), np.round(shares, 4).tolist()


LINE = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]


def test_the_majority_of_the_nearest_wins_with_its_share() -> None:
    assert classify(LINE, [0, 0, 0, 1, 1, 1], [[1.2], [11.0], [5.0]]) == ([0, 1, 0], [1.0, 1.0, 1.0])
    assert classify(LINE, [0, 0, 1, 1, 1, 1], [[1.0]]) == ([0], [0.6667])


def test_a_tie_of_votes_goes_to_the_nearest() -> None:
    assert classify([[0.0], [1.0], [5.0], [6.0]], [1, 0, 0, 1], [[0.4]], n_neighbors=4) == ([1], [0.5])
    assert classify([[0.0], [1.0], [5.0], [6.0]], [1, 0, 0, 1], [[0.6]], n_neighbors=4) == ([0], [0.5])


def test_equal_distances_go_to_the_earlier_reference() -> None:
    assert classify([[1.0], [-1.0]], [1, 0], [[0.0]], n_neighbors=1) == ([1], [1.0])
    assert classify([[-1.0], [1.0]], [1, 0], [[0.0]], n_neighbors=1) == ([1], [1.0])


def test_among_many_equal_distances_the_earliest_references_vote() -> None:
    references = [[1.0], [-1.0]] * 30
    assert classify(references, [0] * 3 + [1] * 57, [[0.0]]) == ([0], [1.0])


def test_a_close_one_outvotes_two_far_ones_by_distance() -> None:
    references, classes = [[0.0], [3.0], [3.5]], [0, 1, 1]
    assert classify(references, classes, [[0.5]])[0] == [1]
    found, shares = classify(references, classes, [[0.5]], weights="distance")
    assert found == [0]
    assert shares == [round(2 / (2 + 1 / 2.5 + 1 / 3), 4)]


def test_a_distance_of_zero_outvotes_everything() -> None:
    assert classify([[0.0], [1e-3], [2e-3]], [0, 1, 1], [[0.0]], weights="distance") == ([0], [1.0])


def test_cosine_and_normalised_embeddings_ignore_length() -> None:
    references, classes = [[1.0, 0.0], [0.0, 1.0], [0.0, 5.0]], [0, 1, 1]
    queries = [[100.0, 1.0]]
    assert classify(references, classes, queries, n_neighbors=1, metric="cosine")[0] == [0]
    assert classify(references, classes, queries, n_neighbors=1, normalize=True)[0] == [0]
    assert classify(references, classes, [[0.4, 4.0]], n_neighbors=1)[0] == [1]


def test_manhattan_and_euclidean_may_differ() -> None:
    references, classes = [[2.0, 2.0], [0.0, 3.5]], [0, 1]
    assert classify(references, classes, [[0.0, 0.0]], n_neighbors=1, metric="euclidean")[0] == [0]
    assert classify(references, classes, [[0.0, 0.0]], n_neighbors=1, metric="manhattan")[0] == [1]


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_it_agrees_with_the_plain_definition(metric: str, weights: str) -> None:
    random = np.random.default_rng(3)
    references = random.normal(size=(300, 12)).astype(np.float32)
    classes = random.integers(0, 3, 300)
    queries = random.normal(size=(70, 12)).astype(np.float32)
    neighbours = Neighbours(7, metric, weights, False)
    neighbours.fit(references, classes, 3)
    found, shares = neighbours.classify(queries)
    for query, answer, share in zip(queries.astype(float), found, shares, strict=True):
        apart = references.astype(float)
        if metric == "euclidean":
            distances = np.sqrt(((apart - query) ** 2).sum(axis=1))
        elif metric == "manhattan":
            distances = np.abs(apart - query).sum(axis=1)
        else:
            distances = 1 - apart @ query / np.linalg.norm(apart, axis=1) / np.linalg.norm(query)
        nearest = np.argsort(distances)[:7]
        votes = np.zeros(3)
        for place in nearest:
            votes[classes[place]] += 1 if weights == "uniform" else 1 / distances[place]
        assert votes[answer] == pytest.approx(votes.max(), rel=1e-5)
        assert share == pytest.approx(votes.max() / votes.sum(), rel=1e-5)


def test_fewer_references_than_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer"):
        classify([[0.0]], [0], [[0.0]])


def test_the_answer_does_not_depend_on_the_company() -> None:
    random = np.random.default_rng(5)
    references, queries = (
        random.normal(size=(200, 16)).astype(np.float32),
        random.normal(size=(65, 16)).astype(np.float32),
    )
    neighbours = Neighbours(5, "euclidean", "distance", False)
    neighbours.fit(references, random.integers(0, 4, 200), 4)
    together = neighbours.classify(queries)
    alone = [neighbours.classify(queries[i : i + 1]) for i in range(65)]
    assert together[0].tolist() == [found[0] for found, _ in alone]
    assert together[1].tolist() == [share[0] for _, share in alone]
