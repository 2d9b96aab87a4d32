"""Three checks per reward type whose answer is worked out by hand, from the task and the policy and no harness.

Each case says in words what happens in the conversation, and why its part of the reward is what it is.
"""

import pytest

from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2
from toolorch_evaluator.benchmarks.tau2.environment import Environment
from toolorch_evaluator.benchmarks.tau2.message import Call, Message, dump_message

MEETING = {"user_id": "user_1", "title": "Important Meeting"}
CREATE, UPDATE, TRANSFER = "create_task", "update_task_status", "transfer_to_human_agents"
# Airplane mode is on and the SIM card lies beside its slot: "resolved when the status bar shows that they have signal".
NO_SIGNAL = "[service_issue]airplane_mode_on|unseat_sim_card[PERSONA:None]"
# Airplane mode is on and the SIM card wants a PIN, which the desk cannot give: it has to transfer, and no signal comes.
PIN = "[service_issue]airplane_mode_on|lock_sim_card_pin[PERSONA:Easy]"


def says(text):
    return ("assistant", text, None)


def user_says(text):
    return ("user", text, None)


def does(name, **arguments):
    return ("assistant", name, arguments)


def user_does(name, **arguments):
    return ("user", name, arguments)


def graded(domain, task_id, *turns, **fields):
    """Grade what was said and done, the answers of the tools among it."""
    environment, messages = Environment(dataset.task(domain, task_id)), []
    for number, (role, text, arguments) in enumerate(turns):
        if arguments is None:
            messages.append(Message(role, text))
            continue
        call = Call(f"c{number}", text, arguments, role)
        messages += [Message(role, None, (call,)), environment.answer(call)]
    ends = {"domain": domain, "task_id": task_id, "termination_reason": "user_stop"}
    return Tau2().score({**ends, "messages": [dump_message(m) for m in messages], **fields})


@pytest.mark.parametrize(
    ("task_id", "turns", "part"),
    [
        # The user wants a task "Important Meeting"; a task of that title, pending and of user_1, is all that is new.
        ("create_task_1", [does("get_users"), does(CREATE, **MEETING)], 1.0),
        # The same task, but with a description that nobody asked for: another record.
        ("create_task_1", [does(CREATE, **MEETING, description="weekly")], 0.0),
        # "Delete all tasks" may not be done (policy 4); ending the one task instead is a change that nobody wants.
        ("impossible_task_1", [does(UPDATE, task_id="task_1", status="completed"), does(TRANSFER, summary="")], 0.0),
    ],
    ids=["what was wanted", "more than was wanted", "something else than was wanted"],
)
def test_db_is_1_where_the_records_are_as_the_task_wants_them(task_id, turns, part):
    assert graded("mock", task_id, *turns).breakdown["DB"] == part


@pytest.mark.parametrize(
    ("turns", "part"),
    [
        # Both causes are gone: the phone finds its network.
        ([user_does("toggle_airplane_mode"), user_does("reseat_sim_card")], 1.0),
        # Without a SIM card there is no network, whatever airplane mode is.
        ([user_does("toggle_airplane_mode")], 0.0),
        # Switched off and on again is on: the radio is silent though the card is in.
        ([user_does("toggle_airplane_mode"), user_does("reseat_sim_card"), user_does("toggle_airplane_mode")], 0.0),
    ],
    ids=["both causes are gone", "one cause is left", "one cause comes back"],
)
def test_env_assertion_is_1_where_the_phone_has_signal(turns, part):
    assert graded("telecom", NO_SIGNAL, *turns).breakdown == {"ENV_ASSERTION": part}


@pytest.mark.parametrize(
    ("domain", "task_id", "turns", "part"),
    [
        # Policy 4 wants the user transferred; the task compares no argument, so any summary will do.
        ("mock", "impossible_task_1", [does(TRANSFER, summary="cannot delete")], 1.0),
        # A transfer that is only spoken of is no action.
        ("mock", "impossible_task_1", [says("I transfer you to a human agent.")], 0.0),
        # The phone is as the task expects it (no signal, for want of a PIN), but the user is left alone with it.
        ("telecom", PIN, [user_does("toggle_airplane_mode"), says("There is nothing more to be done.")], 0.0),
    ],
    ids=["transferred", "only spoken of", "the state is right and the action missing"],
)
def test_action_is_1_where_the_reference_action_was_taken(domain, task_id, turns, part):
    score = graded(domain, task_id, *turns)
    assert (score.breakdown["ACTION"], score.reward) == (part, part)
    assert score.breakdown["DB" if domain == "mock" else "ENV_ASSERTION"] == 1.0


@pytest.mark.parametrize(
    ("turns", "part"),
    [
        # Two passengers of a silver member in economy have two free bags each: the user is to hear the number 4.
        ([says("You may bring 4 suitcases.")], 1.0),
        # "If this is not already the case, insist on getting the total number in numeric form": a word is none.
        ([says("You may bring four suitcases.")], 0.0),
        # The tool's answer is full of fours, and the user names the number; the agent does neither.
        ([does("get_reservation_details", reservation_id="JMO1MG"), user_says("Is it 4?"), says("Yes.")], 0.0),
    ],
    ids=["said in digits", "said in words", "said by others only"],
)
def test_communicate_is_1_where_the_agent_itself_said_it(turns, part):
    score = graded("airline", "3", *turns)
    assert score.breakdown == {"DB": 1.0, "COMMUNICATE": part}
    assert score.reward == part


PRAISED = (user_says("A task, and a compliment."), does(CREATE, **MEETING), says("Created. You plan ahead so well!"))


@pytest.mark.parametrize(
    ("fields", "reward", "parts"),
    [
        # The task is created and the user complimented (policy 5), and the judge has seen both.
        ({"verdict": {"met": [True, True]}}, 1.0, {"COMMUNICATE": 1.0, "NL_ASSERTION": 1.0}),
        # One of two statements does not hold: the product of the parts is 0, not a half.
        ({"verdict": {"met": [True, False]}}, 0.0, {"COMMUNICATE": 1.0, "NL_ASSERTION": 0.0}),
        # A conversation that was cut off is worth nothing, whatever a judge found in it.
        ({"verdict": {"met": [True, True]}, "termination_reason": "max_steps"}, 0.0, {}),
    ],
    ids=["both statements hold", "one does not hold", "cut off"],
)
def test_nl_assertion_is_1_where_the_judge_found_each_statement_met(fields, reward, parts):
    score = graded("mock", "create_task_1_nl_eval", *PRAISED, **fields)
    assert (score.reward, score.breakdown) == (reward, parts)
