"""Hosted servers that refuse a field: the call is made without it once, remembered, counted; the spec's word stays."""

import pytest

from toolorch_api.shard import Unit
from toolorch_evaluator.benchmarks.base import ModelError
from toolorch_evaluator.unit_chat import UnitChat
from toolorch_evaluator.unwanted import find_unwanted

UNIT = Unit("control", "hle", "q1", 0)
MESSAGES = [{"role": "user", "content": "hi"}]
WANTS = {"temperature": 0.2, "max_tokens": 8000, "chat_template_kwargs": {"enable_thinking": False}}
REFUSALS = {
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'.",
    "temperature": "Unsupported value: 'temperature' does not support 0.2 with this model. Only 1 is supported.",
    "chat_template_kwargs": "Unrecognized request argument supplied: chat_template_kwargs",
}


@pytest.fixture
def hosted(complete):
    """A server's answers that refuse the first of these fields that it is sent."""

    def answer(body, headers):
        field = next((name for name in REFUSALS if name in body), None)
        if field is None:
            return 200, complete(), {}
        return 400, {"error": {"message": REFUSALS[field], "param": field}}, {}

    return answer


async def test_what_a_benchmark_means_is_left_out_where_it_is_refused(
    make_world, open_chat, model_servers, quick, hosted
):
    world, server = make_world(), await model_servers(hosted)
    world.point(server)
    async with open_chat(world, quick) as chat:
        first, second = UnitChat(chat, UNIT), UnitChat(chat, UNIT)
        await first("agent", MESSAGES, wants=WANTS)
        await second("agent", MESSAGES, wants=WANTS)
    bodies = [body for body, _ in server.requests]
    assert len(bodies) == 5, "three refusals, an answer, and then it is known"
    assert {"max_completion_tokens": 8000}.items() <= bodies[-1].items()
    assert not REFUSALS.keys() & bodies[-1].keys()
    told = {"left_out_temperature_agent": 1, "left_out_chat_template_kwargs_agent": 1}
    assert (first.account.counts, second.account.counts) == (told, told)


async def test_what_the_spec_says_itself_is_never_left_out(make_world, open_chat, model_servers, quick, hosted):
    roles = {"agent": {"pool": "pool-a", "temperature": "0.5"}, "user": {"pool": "pool-a"}}
    world, server = make_world(roles=roles), await model_servers(hosted)
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError, match="'temperature' does not support") as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES, wants=WANTS)
    assert caught.value.cause == "model_refused"


@pytest.mark.parametrize(("field", "text"), REFUSALS.items(), ids=REFUSALS)
def test_a_refusal_names_its_field(field, text):
    assert find_unwanted(text) == field


def test_other_refusals_name_none():
    assert find_unwanted("This model's maximum context length is 4096 tokens.") == ""
