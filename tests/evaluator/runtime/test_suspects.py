"""Signs of broken plumbing: each is found where a whole run shows it, and nowhere else."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from toolorch_api.evalrun_status import Usage
from toolorch_api.shard import Result, Unit, UnitStatus
from toolorch_evaluator.latency import LatencySums
from toolorch_evaluator.suspects import ABNORMAL_ENDS, find_suspects

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def result(n, status="passed", tokens=None, tool_calls=2, calls=5, **more):
    reward = {"passed": 1.0, "failed": 0.0, "infra_error": None}[status]
    told = {"termination_reason": "user_stop", "outputs": f"hash {n}", "endpoints": ["pool/pool-0"]}
    return Result(
        **asdict(Unit("control", "retail", str(n), 0)),
        status=UnitStatus(status),
        reward=reward,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=9),
        usage=Usage(prompt_tokens=1000, completion_tokens=50 + n if tokens is None else tokens, calls=calls),
        tool_calls=tool_calls,
        **{"spec_hash": "h", "attempt": 1, "shard": 0, "pod": "p", **told, **more},
    )


def results(count=8, **more):
    return [result(n, **more) for n in range(count)]


def error(n, text="no route", cause="model_unreachable", **more):
    ended = {"termination_reason": "infrastructure_error", "cause": cause, "message": text, "endpoints": []}
    return result(n, "infra_error", calls=0, tool_calls=0, **ended, **more)


def lost(n, text, reason="invalid_reply"):
    return result(n, "failed", termination_reason=reason, message=text)


def calls(empty, full, role="agent", prompt_tokens=10):
    sums = LatencySums()
    event = {"role": role, "pool": "pool", "cause": "", "ms": 1, "tries": 1, "prompt_tokens": prompt_tokens}
    for n in range(empty + full):
        sums.add(event | {"completion_tokens": 1 if n < empty else 9})
    return sums.rows()


FIRES = {
    "one error with other numbers and ids in it": (
        [error(n, f"agent at pool/pool-{n}: HTTP 500: request req-{n}f3 failed after {n}.5 s") for n in range(4)],
        "every unit failed with one error: model_unreachable: agent at pool/pool-0: HTTP 500",
    ),
    "one error that counts as the model's": (
        [lost(n, f"arguments of tool call look are no JSON: line 1 column {n}") for n in range(4)],
        "every unit failed with one error: invalid_reply",
    ),
    "no tool call": (results(tool_calls=0), "the agent called no tool in any of 8 units that offered some"),
    "no tool call where some offered none": (
        [*results(4, tool_calls=0), *results(4, tool_calls=0, tools_offered=False)],
        "in any of 4 units that offered some",
    ),
    "little is written per call": ([result(n, tokens=n) for n in range(8)], "completions are mostly empty in 8 of 8"),
    "the same output everywhere": (results(outputs="one"), "the agent wrote the very same in all 8 units"),
    "the same counts everywhere": (results(outputs="", tokens=70), "all 8 units have equal outputs"),
    "another model answered": (
        [*results(), error(9, "agent at pool/pool-1: asked for a, answered by b", "served_model_mismatch")],
        "another model answered in a unit: agent at pool/pool-1: asked for a, answered by b",
    ),
    "two models played one role": (
        [*results(5, served={"agent": "gpt-5-a"}), *results(3, served={"agent": "gpt-5-b"})],
        "role agent was played by 2 models: gpt-5-a in 5 units, gpt-5-b in 3 units",
    ),
    "most infra errors from one endpoint": (
        [*results(3), *(error(n, f"text {n} {'x' * n}", endpoint="pool/pool-2") for n in range(31)),
         *(error(n, f"other {'y' * n}", endpoint="pool/pool-1") for n in range(2))],
        "31 of 33 infra errors came from pool-2, while other endpoints of pool worked",
    ),
}  # fmt: skip
for reason, where in ABNORMAL_ENDS.items():
    FIRES[f"all end with {reason}"] = (
        results(3, status="failed", termination_reason=reason),
        f"all 3 conversations ended with {reason}: {where}",
    )


@pytest.mark.parametrize(("found", "sign"), FIRES.values(), ids=FIRES)
def test_a_run_is_suspect_with(found, sign):
    assert [line for line in find_suspects(found) if line.startswith(sign) or sign in line]


QUIET = {
    "what models do": results(),
    "one error in half of the units": [*results(4), *(error(n) for n in range(4))],
    "two errors": [*(error(n, "no route") for n in range(4)), *(error(n, "refused", "model_busy") for n in range(4))],
    "failures without a text": results(status="failed"),
    "one unit that called a tool": [result(0), *(result(n, tool_calls=0) for n in range(1, 8))],
    "tools that nobody offered": results(tool_calls=0, tools_offered=False),
    "units that nobody answered": [error(n, "x" * n) for n in range(1, 8)],
    "a server that reports no usage": [
        r.model_copy(update={"usage": Usage(calls=5)}) for r in results()
    ],
    "half of the units with little text": [*results(4), *(result(n, tokens=n) for n in range(4))],
    "equal outputs in all but one": [*results(7, outputs="one"), result(8)],
    "equal outputs of few units": results(5, outputs="one"),
    "equal outputs of one task": [result(1, outputs="one").model_copy(update={"trial": n}) for n in range(8)],
    "equal counts with other texts": results(tokens=70),
    "all but one at the step limit": [*results(7, status="failed", termination_reason="max_steps"), result(8)],
    "one name per role": results(served={"agent": "a", "user": "b"}),
    "infra errors spread over endpoints": [
        *results(), *(error(n, f"{'x' * n}", endpoint=f"pool/pool-{n % 3}") for n in range(9))
    ],
    "all infra errors from the only endpoint": [
        *results(), *(error(n, f"{'x' * n}", endpoint="pool/pool-0") for n in range(9))
    ],
    "few infra errors": [*results(), *(error(n, "x" * n, endpoint="pool/pool-2") for n in range(4))],
    "two units": results(2, tool_calls=0),
}  # fmt: skip


@pytest.mark.parametrize("found", QUIET.values(), ids=QUIET)
def test_a_run_is_not_suspect_for(found):
    assert find_suspects(found) == []


@pytest.mark.parametrize(
    ("latency", "suspect"),
    [
        pytest.param(calls(6, 4), True, id="most of the agent's calls were empty, though the user talks"),
        pytest.param(calls(5, 5), False, id="half of them"),
        pytest.param(calls(9, 1, role="user"), False, id="another role's"),
        pytest.param(calls(9, 1, prompt_tokens=0), False, id="no usage is told"),
    ],
)
def test_empty_completions_are_the_agents(latency, suspect):
    found = find_suspects(results(), latency)
    assert bool(found) is suspect
    assert not suspect or found[0].startswith("the agent's completions are empty in 6 of 10 calls")


@pytest.mark.parametrize(("domain", "found"), [("retail", True), ("frames", False)])
def test_agents_that_only_choose_tools_may_all_write_the_same(domain, found):
    ends = [result(n, outputs="one").model_copy(update={"domain": domain}) for n in range(12)]
    assert any("the very same" in sign for sign in find_suspects(ends, ())) is found


@pytest.mark.parametrize(
    ("calls", "experts", "suspect"),
    [
        pytest.param({"agent": 5, "user": 4}, ("expert-1", "expert-2"), True, id="experts that nobody called"),
        pytest.param({"agent": 5, "expert-2": 1}, ("expert-1", "expert-2"), False, id="one of them called"),
        pytest.param({"agent": 5}, (), False, id="no experts"),
        pytest.param({}, ("expert-1",), False, id="calls that nobody told by role"),
    ],
)
def test_experts_that_are_never_called_are_a_sign(calls, experts, suspect):
    told = [r.model_copy(update={"calls": calls}) for r in results()]
    signs = find_suspects(told, (), experts)
    assert bool(signs) is suspect
    assert not suspect or "called none of its 2 experts in any of 8 units" in signs[0]
    called = result(8).model_copy(update={"calls": {"expert-1": 1, "agent": 1}})
    assert find_suspects([*told, called], (), experts) == []


@pytest.mark.parametrize(
    ("counts", "sign"),
    [
        pytest.param({"search_retrieval_unavailable": 3, "search_ok": 2}, "away in 24 of 40 searches", id="most"),
        pytest.param({"search_retrieval_unavailable": 2, "search_ok": 2}, "", id="half"),
        pytest.param({"search_ok": 2, "search_nothing_found": 9}, "", id="searches that found nothing"),
        # Of τ²'s airline: a tool of the environment, which needs no service.
        pytest.param({"search_direct_flight_ok": 2}, "", id="another tool that is named like it"),
    ],
)
def test_a_search_service_that_was_mostly_away_is_a_sign(counts, sign):
    found = find_suspects([r.model_copy(update={"counts": counts}) for r in results()])
    assert bool(found) is bool(sign)
    assert not sign or sign in found[0]
