"""How many things were under way at a time."""

import pytest

from toolorch_evaluator.occupancy import Spans, mean_under_way

EPOCH = 1_790_000_000.0


@pytest.mark.parametrize(
    ("spans", "means"),
    [
        pytest.param([(0, 2), (1, 2)], [1, 2, 1, 0], id="two that overlap for a second"),
        pytest.param([(-5, 5.5)], [0.5, 0, 0, 0], id="one that began before"),
        pytest.param([(3.75, 9)], [0, 0, 0, 0.25], id="one that goes on after"),
        pytest.param([(1.25, 0.001)] * 100, [0, 0.1, 0, 0], id="a hundred short ones"),
        pytest.param([], [0, 0, 0, 0], id="none"),
    ],
)
def test_means_of_slices_by_hand(spans, means):
    found = Spans()
    for begin, seconds in spans:
        found.add(EPOCH + begin, seconds)
    assert mean_under_way(found, EPOCH, EPOCH + 4, 4) == pytest.approx(means, abs=1e-5)


def test_a_run_without_length_has_nothing_under_way():
    found = Spans()
    found.add(EPOCH, 0)
    assert mean_under_way(found, *found.reach, 2) == [0, 0]
