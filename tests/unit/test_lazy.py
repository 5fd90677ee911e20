"""Groups that are computed when looked at: the same numbers whichever way they are asked for."""

import pickle
from functools import partial

import numpy as np
import pytest

from bayes_scaling._lazy import CELLS, Computed, computed

SHAPE = (4, 50, 7)
FULL = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)


class Source:
    def __init__(self, values=FULL):
        self.flat, self.calls = values.reshape(-1, values.shape[-1]), []

    def __call__(self, start, stop):
        self.calls.append((start, stop))
        return self.flat[start:stop]


def array(source):
    return computed("loss", Computed(SHAPE, source), np.arange(7) * 10).loss


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), slice(None), slice(None)),
        (2, 17, 3),
        (slice(1, 3), slice(None, None, 7), slice(None, None, 2)),
        (slice(None), slice(40, None), 5),
        (slice(None), slice(0, 0), slice(None)),
        (0, slice(None, None, -1), slice(2, 3)),
    ],
)
@pytest.mark.parametrize("cells", [CELLS, 70, 1])
def test_any_part_is_that_part_of_the_whole(key, cells, monkeypatch):
    monkeypatch.setattr("bayes_scaling._lazy.CELLS", cells)
    np.testing.assert_array_equal(array(Source())[key].values, FULL[key])


def test_nothing_is_computed_until_looked_at_and_then_once():
    source = Source()
    lazy = array(source)
    repr(lazy)
    assert lazy.sizes == {"chain": 4, "draw": 50, "run": 7}
    assert lazy.run.values.tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert source.calls == []
    assert float(lazy.sum()) == FULL.sum()
    assert float(lazy.max()) == FULL.max()
    assert source.calls == [(0, 200)]


def test_a_few_draws_of_a_million_runs_cost_a_few_draws():
    asked = []

    def block(start, stop):
        asked.append(stop - start)
        return np.zeros((stop - start, 10**6))

    shape = (4, 1000, 10**6)
    lazy = computed("loss", Computed(shape, block), np.arange(10**6)).loss
    assert lazy.isel(chain=0, draw=slice(0, 3)).values.shape == (3, 10**6)
    assert sum(asked) <= 4  # two draws a block, of 4,000


def rows(values, start, stop):
    return values[start:stop]


def test_what_was_not_looked_at_can_still_be_pickled():
    lazy = array(partial(rows, FULL.reshape(-1, 7)))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)).values, FULL)


def test_a_fits_groups_are_what_its_law_says(fitted, ladder):
    """Parts of the lazy groups of a real fit are those of the whole, replicates included."""
    for group in ("log_likelihood", "posterior_predictive"):
        lazy = fitted[group].loss
        part = lazy.isel(chain=2, draw=slice(5, 400, 99), run=slice(3, 60, 20)).values
        np.testing.assert_array_equal(part, lazy.values[2, 5:400:99, 3:60:20])
