import numpy as np
import pytest

from batch_worker.workers.machine_state.encoders import rocket
from batch_worker.workers.machine_state.encoders.scale import NoiseScale, projection


@pytest.mark.parametrize("dilation", [1, 2, 7])
def test_kernels_give_what_their_weights_say(dilation: int) -> None:
    random = np.random.default_rng(0)
    scaled = random.normal(size=(4, 30, 5)).astype(np.float32)
    mix = rocket._mix(4, random)
    found = rocket._convolve(scaled, mix, dilation)
    assert found.shape == (84, 30, 5)
    for kernel in (0, 1, 40, 83):
        weights = np.full(9, -1.0)
        weights[list(rocket._KERNELS[kernel])] = 2.0
        mixed = sum(scaled[column] for column, _ in mix[kernel])
        padded = np.pad(mixed, ((4 * dilation, 4 * dilation), (0, 0)))
        expected = sum(weights[tap] * padded[tap * dilation : tap * dilation + 30] for tap in range(9))
        np.testing.assert_allclose(found[kernel], expected, atol=1e-4)


def test_there_are_84_kernels_that_sum_to_zero() -> None:
    assert len(rocket._KERNELS) == 84
    assert {len(set(taps)) * 2 - (9 - 3) for taps in rocket._KERNELS} == {0}


@pytest.mark.parametrize("width", [1, 2, 3, 8, 9, 33])
@pytest.mark.parametrize("dilation", [1, 3])
def test_a_moving_sum_sums(width: int, dilation: int) -> None:
    values = np.arange(2 * 120 * 3, dtype=np.float32).reshape(2, 120, 3)
    found = rocket.moving_sum(values, width, dilation)
    expected = sum(values[:, step * dilation : 120 - (width - 1 - step) * dilation] for step in range(width))
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("columns", [1, 2, 3, 9, 52])
def test_columns_are_dealt_evenly_and_no_kernel_sees_one_twice(columns: int) -> None:
    mix = rocket._mix(columns, np.random.default_rng(1))
    seen = [column for terms in mix for column, _ in terms]
    counts = np.bincount(seen, minlength=columns)
    assert len(mix) == 84
    assert counts.max() - counts.min() <= 3
    assert all(1 <= len(terms) == len({column for column, _ in terms}) <= 9 for terms in mix)


def test_shares_count_rows_above_also_in_windows_longer_than_a_byte_counts() -> None:
    values = np.arange(1000, dtype=np.float32)[None, :, None]
    (found,) = rocket._shares_above(values, np.array([[99.5]], dtype=np.float32))
    assert found[0, 0] == pytest.approx(0.9)


def test_noise_scale_is_the_spread_within_windows_not_between_states() -> None:
    random = np.random.default_rng(2)
    noise = random.normal(size=(200, 50, 1))
    noise[100:] += 1000
    scaled = NoiseScale(noise)(noise)
    assert scaled.shape == (1, 50, 200)
    assert scaled[0, :, 0].std() == pytest.approx(1, abs=0.3)


def test_the_projection_measures_in_the_spread_of_the_tightest_class() -> None:
    random = np.random.default_rng(3)
    calm = random.normal(size=(300, 6)) * [5, 1, 1, 1, 1, 1]
    wild = random.normal(size=(300, 6)) * 30
    features = np.concatenate([calm, wild]).astype(np.float32)
    embedded = features @ projection(features - features.mean(axis=0), np.repeat([0, 1], 300), 6)
    spread = np.linalg.svd(embedded[:300] - embedded[:300].mean(axis=0))[1]
    assert spread[0] / spread[1] < 3.5  # it was 5
    assert 0.3 < embedded[:300].std() < 1.5


@pytest.mark.parametrize("case", ["one-window-each", "all-the-same"])
def test_the_projection_of_hardly_anything_is_finite(case: str) -> None:
    features = np.eye(2, 5, dtype=np.float32) if case == "one-window-each" else np.zeros((6, 5), dtype=np.float32)
    found = projection(features, np.arange(len(features)) % 2, 3)
    assert np.isfinite(found).all()
    assert found.shape[0] == 5
