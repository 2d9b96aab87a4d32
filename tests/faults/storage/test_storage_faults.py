"""Whatever goes wrong with storage, a run ends with the results and rewards that it has without, and each of them once.

Operator and evaluator are real, between them and a real S3 server is a proxy. Some plans are played, with --all-faults
all of them; what fails stays in a folder that the failure names, as a plan and what was asked and said.
"""

import json
from pathlib import Path

import pytest
from s3_matrix import build_matrix, pick
from s3_plan import parse_plan

pytestmark = pytest.mark.faults

CLASSES = ("one fault", "one fault of the report", "outage", "race", "several faults")
REGRESSIONS = "regressions"
KEPT = sorted((Path(__file__).parent / REGRESSIONS).glob("*.json"))
LEAST_FIRED = 0.7
"""Part of a class's plans whose faults must have happened: not each run makes each request."""


@pytest.mark.parametrize("kind", [*CLASSES, REGRESSIONS])
async def test_a_run_ends_as_it_does_without_faults_in_plans_of_class(campaign, request, kind):
    matrix = build_matrix(campaign.counts)
    chosen = matrix if request.config.getoption("--all-faults") else pick(matrix)
    chosen[REGRESSIONS] = [parse_plan(json.loads(path.read_text())) for path in KEPT]
    verdicts = await campaign.run(chosen[kind])
    told = "\n".join(f"{v.plan.name}: {what}" for v in verdicts for what in v.violations)
    assert not told, f"{told}\nplans and what was asked are in {campaign.folder}"
    due = [v for v in verdicts if v.plan.faults]
    assert sum(bool(v.fired) for v in due) >= LEAST_FIRED * len(due)
