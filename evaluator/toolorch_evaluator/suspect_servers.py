"""Signs that a run talked to wrong or broken servers: another model behind a name, one endpoint that fails. PURE."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from toolorch_api.shard import Result, UnitStatus

MISMATCH = "served_model_mismatch"
# Fewer infra errors than this come from one endpoint by chance; and of more, so many percent are not chance.
FEWEST_ERRORS, SHARE = 5, 80


def find_wrong_models(results: Sequence[Result]) -> list[str]:
    """Return one sentence per way in which another model may have answered; one unit is enough to prove it."""
    refused = [r for r in results if r.cause == MISMATCH]
    signs = []
    if refused:
        where = "which server does the endpoint lead to? See endpoints.json of the pool"
        count = f"{len(refused)} units" if len(refused) > 1 else "a unit"
        signs.append(f"another model answered in {count}: {refused[0].message[:300]}: {where}")
    for role, models in _seen(results).items():
        if len(models) > 1:
            counts = ", ".join(f"{model} in {count} units" for model, count in models.most_common())
            signs.append(f"role {role} was played by {len(models)} models: {counts}: the score is of none of them")
    return signs


def find_worst_endpoint(results: Sequence[Result]) -> str:
    """Return which endpoint most infra errors come from; empty: none, or no other endpoint of its pool worked."""
    errors = Counter(r.endpoint for r in results if r.status is UnitStatus.INFRA_ERROR and r.endpoint)
    total = errors.total()
    if total < FEWEST_ERRORS:
        return ""
    ((worst, count),) = errors.most_common(1)
    pool, _, name = worst.partition("/")
    others = {e for r in results for e in r.endpoints if e.startswith(f"{pool}/")} - {worst}
    if count * 100 < SHARE * total or not others:
        return ""
    return f"{count} of {total} infra errors came from {name}, while other endpoints of {pool} worked: see its log"


def _seen(results: Sequence[Result]) -> dict[str, Counter[str]]:
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        for role, model in result.served.items():
            seen[role][model] += 1
    return seen
