"""Rules of grading that the disturbed conversations meet seldom, each by itself."""

import pytest

from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.arithmetic import calculate
from toolorch_evaluator.benchmarks.tau2.environment import Environment
from toolorch_evaluator.benchmarks.tau2.message import Call, Message
from toolorch_evaluator.benchmarks.tau2.overlay import Overlay, canonical
from toolorch_evaluator.benchmarks.tau2.scoring import score
from toolorch_evaluator.benchmarks.tau2.task import Action, Criteria, EnvironmentCall, Task

TRANSFER = Action("transfer_to_human_agents", {"summary": "help"}, "assistant")
RECORDED = Call("1", "transfer_to_human_agents", {"summary": "other"}, "assistant")


def task(basis, domain="retail", **criteria):
    fields = {"actions": (), "assertions": None, "communicate": (), **criteria}
    return Task(domain, "x", {"instructions": ""}, {}, (), (), Criteria(frozenset(basis), **fields))


def answered(call, of=None):
    return [Message(call.requestor, None, (call,)), Environment(of or task(["DB"])).answer(call)]


def reward(of, messages=(), reason="user_stop"):
    return score(of, reason, messages).reward


def test_an_action_matches_on_the_arguments_that_the_call_brings():
    wanted = task(["ACTION"], actions=(TRANSFER,))
    assert reward(wanted, answered(RECORDED)) == 0.0
    assert reward(wanted, answered(Call("1", RECORDED.name, {"summary": "help"}, "assistant"))) == 1.0
    assert reward(wanted, answered(Call("1", RECORDED.name, {}, "assistant"))) == 1.0
    assert reward(wanted, answered(Call("1", RECORDED.name, {"summary": "help"}, "user"))) == 1.0


def test_compare_args_narrow_what_is_compared():
    for names, expected in ((("summary",), 0.0), ((), 1.0), (("nothing",), 1.0)):
        narrowed = Action(TRANSFER.name, TRANSFER.arguments, "assistant", names)
        assert reward(task(["ACTION"], actions=(narrowed,)), answered(RECORDED)) == expected


def test_what_must_be_said_counts_in_any_text_of_the_agent_and_in_none_of_the_user():
    wanted = task(["COMMUNICATE"], communicate=("1234.5", "Blue"))
    said = Message("assistant", "It is 1,234.50, and BLUE.")
    assert reward(wanted, [said]) == 1.0
    assert reward(wanted, [Message("user", said.content)]) == 0.0
    beside = Message("assistant", said.content, (RECORDED,))
    assert reward(wanted, [beside, answered(RECORDED)[1]]) == 1.0
    assert reward(task(["COMMUNICATE"], communicate=("1,234",)), [said]) == 0.0


def test_without_actions_and_assertions_the_world_is_not_looked_at():
    empty = task(["DB", "COMMUNICATE"], actions=None)
    orphan = Message("tool", "x", id="7")
    assert score(empty, "user_stop", [orphan]).breakdown == {"COMMUNICATE": 1.0}
    assert score(task(["DB"]), "user_stop", [orphan]).reward is None


def test_a_task_without_criteria_is_passed_by_any_conversation_that_came_to_its_end():
    free = Task("retail", "x", {}, {}, (), (), None)
    assert reward(free) == 1.0
    assert reward(free, reason="max_steps") == 0.0


def test_statements_are_graded_by_a_judge_and_by_nobody_else():
    stated = task(["DB", "NL_ASSERTION"], statements=("is kind", "is quick"))
    assert "judge" in score(stated, "user_stop", ()).error
    assert score(stated, "user_stop", (), met=[True, False]).breakdown == {"DB": 1.0, "NL_ASSERTION": 0.0}
    assert score(stated, "user_stop", (), met=[True, True]).reward == 1.0
    assert score(task(["DB"], statements=("is kind",)), "user_stop", (), met=[False]).reward == 0.0
    assert score(task(["NL_ASSERTION"]), "user_stop", ()).reward == 1.0


def test_an_assertion_that_raises_cannot_be_graded():
    raising = EnvironmentCall("user", "assert_internet_not_excellent", {})
    offline = EnvironmentCall("user", "turn_airplane_mode_on", {})
    graded = score(task(["ENV_ASSERTION"], "telecom", assertions=(offline, raising)), "user_stop", ())
    assert graded.reward is None
    assert "an assertion on the final state raised" in graded.error


def test_numbers_that_json_writes_differently_are_different_states():
    table = Overlay(Environment(task(["DB"]))._sides["assistant"].tools.db.orders)
    key = next(iter(table))
    table[key].exchange_price_difference = 0
    whole = canonical(table[key])
    table[key].exchange_price_difference = 0.0
    assert canonical(table[key]) != whole


def test_an_overlay_changes_nothing_but_its_own_copies():
    one, two = (Environment(dataset.task("retail", "0")) for _ in range(2))
    orders = one._sides["assistant"].tools.db.orders
    key = next(k for k, order in orders.items() if order.status == "pending")
    cancel = Call("1", "cancel_pending_order", {"order_id": key, "reason": "no longer needed"}, "assistant")
    assert not one.answer(cancel).error
    assert one.state() != two.state()
    assert two.answer(cancel) == Environment(dataset.task("retail", "0")).answer(cancel)
    assert one.state() == two.state()
    assert len(orders) == len(list(orders.values()))


@pytest.mark.parametrize(
    ("expression", "value"),
    [("2+2", "4.0"), (" 1/3", "0.33"), ("7//2", "3.0"), ("-(2**3)", "-8.0"), ("1.", "1.0")],
)
def test_calculate_answers_as_python_would(expression, value):
    assert calculate(None, expression) == value


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("9**9**9", "the result is too large"),
        ("1/0", "division by zero"),
        ("2 +", "invalid syntax (<string>, line 1)"),
        ("a", "Invalid characters in expression"),
        ("()", "float() argument must be a string or a real number, not 'tuple'"),
    ],
)
def test_calculate_raises_what_python_would_but_never_computes_for_minutes(expression, error):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        calculate(None, expression)
    assert str(caught.value) == error
