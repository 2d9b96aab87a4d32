"""What tokens cost."""

from decimal import Decimal

import pytest

from toolorch_api.run_input import Price
from toolorch_evaluator.costs import compute_costs, write_dollars
from toolorch_evaluator.latency import LatencySums

CHEAP, DEAR = Price(input="0.25", output="2.00"), Price(input="3", output="15")


def cost(prices, **roles):
    sums = LatencySums()
    for role, (prompt, completion) in roles.items():
        told = {"cause": "", "ms": 1, "tries": 1, "prompt_tokens": prompt, "completion_tokens": completion}
        sums.add({"role": role, "pool": f"pool-{role}", **told})
    return compute_costs(sums.rows(), {f"pool-{role}": price for role, price in prices.items()})


def test_tokens_times_prices_by_hand():
    costs = cost({"agent": CHEAP, "judge": DEAR}, agent=(3_000_000, 100_000), user=(5, 5), judge=(1000, 200))
    assert [(row.role, row.dollars) for row in costs.rows] == [
        ("agent", Decimal("0.95")),
        ("user", None),
        ("judge", Decimal("0.006")),
    ]
    assert (costs.dollars, costs.evaluator, costs.unpriced) == (Decimal("0.956"), Decimal("0.006"), ["user"])


def test_without_prices_nobody_knows():
    costs = cost({}, agent=(1, 1))
    assert (costs.dollars, costs.unpriced) == (None, ["agent"])


@pytest.mark.parametrize(
    ("dollars", "words"),
    [(None, "unknown"), ("0", "0.00"), ("0.0061", "0.0061"), ("0.95", "0.9500"), ("1234.567", "1234.57")],
)
def test_amounts_are_written_as_people_read_them(dollars, words):
    assert write_dollars(None if dollars is None else Decimal(dollars)) == words
