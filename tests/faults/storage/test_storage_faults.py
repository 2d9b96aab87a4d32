"""Whatever goes wrong with storage, a run ends with the results and rewards that it has without, and each of them once.

Operator and evaluator are real, between them and a real S3 server is a proxy. Some plans are played, with --all-faults
all of them; --fault-plan PATH plays one alone. What fails stays in a folder that the failure names, as a plan and what
was asked and said.
"""

import json
from pathlib import Path

import pytest
import pytest_asyncio
from s3_matrix import build_matrix, pick
from s3_plan import parse_plan

pytestmark = pytest.mark.faults

CLASSES = ("one fault", "one fault of the report", "outage", "race", "several faults")
REGRESSIONS = "regressions"
KEPT = sorted((Path(__file__).parent / REGRESSIONS).glob("*.json"))
LEAST_FIRED = 0.7
"""Part of a class's plans whose faults must have happened: not each run makes each request."""


def load(path):
    return parse_plan(json.loads(Path(path).read_text()))


def choose(options, counts):
    """The plans to play, by class."""
    if one := options("--fault-plan"):
        return {REGRESSIONS: [load(one)]}
    matrix = build_matrix(counts)
    return {**(matrix if options("--all-faults") else pick(matrix)), REGRESSIONS: [load(path) for path in KEPT]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def verdicts(campaign, request):
    """The verdicts by class, of plans that were played some at a time."""
    chosen = choose(request.config.getoption, campaign.counts)
    found = iter(await campaign.run([plan for plans in chosen.values() for plan in plans]))
    return {kind: [next(found) for _ in plans] for kind, plans in chosen.items()}


@pytest.mark.parametrize("kind", [*CLASSES, REGRESSIONS])
async def test_a_run_ends_as_it_does_without_faults_in_plans_of_class(campaign, verdicts, kind):
    told = "\n".join(f"{v.plan.name}: {what}" for v in verdicts.get(kind, ()) for what in v.violations)
    assert not told, f"{told}\nplans and what was asked are in {campaign.folder}; play one by --fault-plan PATH"


@pytest.mark.parametrize("kind", CLASSES)
async def test_what_is_to_go_wrong_does_in_plans_of_class(verdicts, kind):
    due = [v for v in verdicts.get(kind, ()) if v.plan.faults]
    assert sum(bool(v.fired) for v in due) >= LEAST_FIRED * len(due)
