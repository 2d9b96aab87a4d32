"""The matrix: whatever goes wrong once, or a few times, a workload ends as it does without, and nothing is done twice.

Some of its plans are played, and count where they fail twice; with --all-faults all of them, and a race that was lost
once counts too; --fault-plan PATH plays one alone. What fails stays in a folder that the failure names: the plan, the
trace of it, and its violations with what the operators said.
"""

from pathlib import Path

import pytest
import pytest_asyncio
from arena import Arena
from campaign import TABLE, Campaign, build_table
from fault_plan import load_plan
from matrix import build_matrix, pick

pytestmark = pytest.mark.faults

CLASSES = ("crash", "lost reply", "error", "watch", "stale restart", "operator down", "random")
REGRESSIONS = "regressions"
KEPT = sorted(Path(__file__).with_name(REGRESSIONS).glob("*.json"))
TIER = 100
"""Plans of the short tier: as many as two cores play in less than two minutes, lessons included."""
LEAST_FIRED = 0.6
"""Part of a class's plans whose faults must have happened, else they say nothing: timing decides about some."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def verdicts(request, tmp_path_factory):
    """The verdicts by class, of plans that were played some at a time, and the folder of what failed."""
    folder, one = tmp_path_factory.mktemp("matrix"), request.config.getoption("--fault-plan")
    every = request.config.getoption("--all-faults")
    async with Arena() as arena:
        campaign = Campaign(arena, folder, is_strict=bool(every or one))
        if one:
            plan = load_plan(Path(one))
            await campaign.learn((plan.workload,))
            chosen = {REGRESSIONS: [plan]}
        else:
            await campaign.learn()
            matrix = build_matrix(campaign.references)
            chosen = matrix if every else pick(matrix, TIER)
            chosen[REGRESSIONS] = [load_plan(path) for path in KEPT]
        found = await campaign.run([plan for plans in chosen.values() for plan in plans])
        request.config.stash[TABLE] = build_table(chosen, found)
    by_name = {verdict.plan.name: verdict for verdict in found}
    return {kind: [by_name[plan.name] for plan in plans] for kind, plans in chosen.items()}, folder


@pytest.mark.parametrize("kind", [*CLASSES, REGRESSIONS])
async def test_no_plan_comes_to_another_end_of_class(verdicts, kind):
    by_class, folder = verdicts
    failed = [v for v in by_class.get(kind, ()) if v.violations]
    told = "\n".join(f"{v.plan.name}: {text}" for v in failed for text in v.violations)
    assert not failed, f"{told}\nplans and traces are in {folder}; play one by --fault-plan PATH"


@pytest.mark.parametrize("kind", CLASSES)
async def test_what_is_to_go_wrong_does_in_plans_of_class(verdicts, kind):
    played = verdicts[0].get(kind, ())
    assert sum(v.has_fired for v in played) >= LEAST_FIRED * len(played)
