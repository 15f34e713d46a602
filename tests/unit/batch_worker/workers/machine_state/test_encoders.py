import numpy as np
import numpy.typing as npt
import pytest

from batch_worker import registry
from batch_worker.errors import InvalidConfig
from batch_worker.workers.machine_state import encoders
from batch_worker.workers.machine_state.encoders.rocket import RocketEncoder

NAMES = ["raw_1", "rocket_1", "stats_1"]


def windows(count: int, rows: int = 32, columns: int = 3, seed: int = 0) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, rows, columns)) + 1e4


def fitted(name: str, rows: int = 32, columns: int = 3) -> encoders.Encoder:
    encoder = encoders.find(name, "p").make()
    encoder.fit(windows(60, rows, columns), np.repeat([0, 1], 30))
    return encoder


def test_our_own_encoders_are_there() -> None:
    assert set(NAMES) <= set(registry.names(registry.ENCODERS))


@pytest.mark.parametrize("name", sorted(encoders.ALIASES))
def test_the_vendors_names_run_our_default(name: str) -> None:
    assert encoders.find(name, "p").name == encoders.DEFAULT


def test_an_unknown_encoder_is_bad_config() -> None:
    with pytest.raises(InvalidConfig, match="spec.x: there is no encoder 'gpt'") as caught:
        encoders.find("gpt", "spec.x")
    assert "rocket_1" in caught.value.suggestion


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("rows", "columns"), [(4, 1), (9, 2), (64, 3), (200, 52)])
def test_any_window_gives_finite_vectors_of_one_length(name: str, rows: int, columns: int) -> None:
    encoder = fitted(name, rows, columns)
    found = encoder.encode(windows(7, rows, columns, seed=1))
    assert found.dtype == np.float32
    assert found.shape[0] == 7
    assert found.shape[1] == encoder.encode(windows(1, rows, columns)).shape[1] > 0
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", NAMES)
def test_two_fits_give_equal_bytes(name: str) -> None:
    queries = windows(40, seed=2)
    assert fitted(name).encode(queries).tobytes() == fitted(name).encode(queries).tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_window_is_encoded_by_itself(name: str) -> None:
    encoder, queries = fitted(name), windows(40, seed=2)
    np.testing.assert_allclose(encoder.encode(queries)[17:18], encoder.encode(queries[17:18]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_column_and_a_wild_value_do_no_harm(name: str) -> None:
    examples = windows(60)
    examples[:, :, 1] = 5.0
    encoder = encoders.find(name, "p").make()
    encoder.fit(examples, np.repeat([0, 1], 30))
    queries = windows(3, seed=4)
    queries[0, 0, 0], queries[1, 5, 1] = 1e30, -1e12
    assert np.isfinite(encoder.encode(queries)).all()


@pytest.mark.parametrize("kind", ["level", "spread", "tone"])
def test_the_default_tells_states_of_each_kind_apart(kind: str) -> None:
    random = np.random.default_rng(1)
    beat = np.arange(48)

    def state(wild: bool, count: int) -> npt.NDArray[np.float64]:
        noise = random.normal(size=(count, 48, 2))
        if wild and kind == "level":
            noise += 1.0
        if wild and kind == "spread":
            noise *= 2.0
        if wild and kind == "tone":
            noise += 1.2 * np.sin(beat * 0.9 + random.uniform(0, 6.3, (count, 1)))[:, :, None]
        return noise

    calm, wild = state(False, 80), state(True, 80)
    encoder = RocketEncoder()
    encoder.fit(np.concatenate([calm, wild]), np.repeat([0, 1], 80))
    centres = [encoder.encode(group).mean(axis=0) for group in (calm, wild)]
    right = 0
    for expected in (False, True):
        found = encoder.encode(state(expected, 50))
        near = [np.linalg.norm(found - centre, axis=1) for centre in centres]
        right += int(((near[1] < near[0]) == expected).sum())
    assert right >= 95


def test_another_seed_mixes_other_columns() -> None:
    embeddings = []
    for seed in (0, 1):
        encoder = RocketEncoder(seed)
        encoder.fit(windows(60), np.repeat([0, 1], 30))
        embeddings.append(encoder.encode(windows(5, seed=9)))
    assert not np.array_equal(embeddings[0], embeddings[1])
