"""Conversations for the parity test, grown from reference actions by seeded disturbances.

`python tests/evaluator/tau2/conftest.py SEEDS` prints them as transcripts, for another harness to grade.
"""

import inspect
import json
import random
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.environment import Environment
from toolorch_evaluator.benchmarks.tau2.message import Call, Message, dump_message
from toolorch_evaluator.benchmarks.tau2.toolkits import toolkit

VALUES = json.loads(Path(__file__).with_name("disturbances.json").read_text())


@cache
def values_of(domain):
    values = defaultdict(list)
    for task in dataset.tasks(domain).values():
        for action in task.criteria.actions or ():
            for name, value in action.arguments.items():
                if value not in values[name]:
                    values[name].append(value)
    return {**values, **VALUES.get(domain, {}), "expression": VALUES["expressions"]}


@cache
def tools_of(domain):
    kits = [(side, kit) for side in ("assistant", "user") if (kit := toolkit(domain, side))]
    return [
        (name, side, [*inspect.signature(getattr(kit.cls, name)).parameters.values()][1:])
        for side, kit in kits
        for name in sorted(kit.names)
    ]


def random_call(domain, rng):
    name, side, parameters = rng.choice(tools_of(domain))
    arguments = {"extra": 1} if rng.random() < 0.03 else {}
    for parameter in parameters:
        skipped = 0.05 if parameter.default is parameter.empty else 0.5
        known = values_of(domain).get(parameter.name)
        if rng.random() >= skipped:
            arguments[parameter.name] = rng.choice(known if known and rng.random() > 0.1 else VALUES["junk"])
    return [name, arguments, side]


def mutated(value, rng):
    match value:
        case list():
            first = [mutated(value[0], rng), *value[1:]] if value else [1]
            return rng.choice([value[::-1], value[1:], value + value[:1], [], first])
        case dict():
            name = rng.choice([*value, "new"])
            kept = {k: v for k, v in value.items() if k != name}
            return kept if rng.random() < 0.3 else {**kept, name: mutated(value.get(name), rng)}
        case bool():
            return not value
        case int() | float():
            return rng.choice([str(value), value + 1, float(value), None, -value])
        case str():
            return rng.choice([value + "x", value.upper(), value.lower(), "", None, value[:-1], 1, value.strip("#")])
        case _:
            return rng.choice(VALUES["junk"])


def actions_of(task):
    return [[a.name, json.loads(json.dumps(dict(a.arguments))), a.requestor] for a in task.criteria.actions or ()]


def disturb(task, calls, rng):
    """Disturb the calls once; those that only need a place come first, then those that need a call to disturb."""
    kind = rng.choice(VALUES["kinds"])
    place = rng.randrange(len(calls) + 1)
    if kind == "random":
        calls[place:place] = [random_call(task.domain, rng) for _ in range(rng.randrange(1, 9))]
    elif kind == "unknown":
        name = rng.choice(["nope", "db", "use_tool", "_get_order", "assert_can_send_mms", "think"])
        calls.insert(place, [name, {}, rng.choice(["assistant", "user"])])
    elif kind == "foreign":
        others = actions_of(rng.choice([*dataset.tasks(task.domain).values()]))
        calls[place:place] = rng.sample(others, min(len(others), rng.randrange(1, 4)))
    elif calls:
        disturb_call(task, calls, rng.randrange(len(calls)), kind, rng)


def disturb_call(task, calls, index, kind, rng):
    _, arguments, side = calls[index]
    some = rng.choice([*arguments]) if arguments else None
    match kind:
        case "drop":
            del calls[index]
        case "twice":
            calls.insert(rng.randrange(len(calls)), json.loads(json.dumps(calls[index])))
        case "shuffle":
            rng.shuffle(calls)
        case "value" if some:
            arguments[some] = mutated(arguments[some], rng)
        case "numbers":
            numbers = {k: v for k, v in arguments.items() if isinstance(v, int | float) and not isinstance(v, bool)}
            arguments.update({k: rng.choice([str, float])(v) for k, v in numbers.items()})
        case "lose" if some:
            del arguments[some]
        case "add":
            arguments[rng.choice(["extra", "requestor", "tool_name", "self", "limit", "x"])] = 1
        case "rename":
            calls[index][0] = rng.choice(tools_of(task.domain))[0]
        case "side":
            calls[index][2] = "user" if side == "assistant" else "assistant"


def say(role, content):
    return {"role": role, "content": content, "tool_calls": None}


def closing(task, rng):
    told, odds = list(task.criteria.communicate), rng.random()
    if not told:
        return []
    if odds < 0.15:
        told.pop(rng.randrange(len(told)))
    text = " and ".join(told)
    if 0.4 < odds < 0.5:
        return [say("user", text), say("assistant", "ok")]
    changed = {1: text.replace("0", ",0"), 2: text.upper(), 3: text.replace(".", "")}
    return [say("assistant", changed.get(int(odds * 7), text))]


def tamper(messages, rng):
    answers = [m for m in messages if m["role"] == "tool"]
    if not answers:
        return
    answer = rng.choice(answers)
    match rng.randrange(9):
        case 0:
            answer["content"] += " "
        case 1:
            answer["content"] = answer["content"].replace("1", "2")
        case 2 if answer["content"][:1] in "{[":
            answer["content"] = json.dumps(json.loads(answer["content"]), indent=1, sort_keys=True)
        case 3:
            answer["id"] = "other"
        case 4:
            messages.remove(answer)
        case 5:
            answer["error"] = not answer["error"]
        case 6:
            answer["requestor"] = "user" if answer["requestor"] == "assistant" else "assistant"
        case 7:
            messages.append(answer)
        case 8:
            answer["content"] = None


def disturbed_actions(task, rng):
    calls = actions_of(task)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        disturb(task, calls, rng)
    return calls


def conversation(domain, task_id, seed):
    task, rng = dataset.task(domain, task_id), random.Random(f"{domain}/{task_id}/{seed}")
    calls, environment = disturbed_actions(task, rng), Environment(task)
    messages, number = [say("assistant", "Hi! How can I help you today?")], 0
    while number < len(calls):
        size = 1
        while number + size < len(calls) and calls[number + size][2] == calls[number][2] and rng.random() < 0.2:
            size += 1
        batch = tuple(Call(f"call_{n}", *calls[n]) for n in range(number, number + size))
        text = rng.choice([None, None, "one moment", ""])
        messages += [
            dump_message(m) for m in (Message(batch[0].requestor, text, batch), *map(environment.answer, batch))
        ]
        number += size
    messages += [*closing(task, rng), say("user", "###STOP###")]
    odds = rng.random()
    if odds < 0.1:
        tamper(messages, rng)
    reason = rng.choice(["max_steps", "too_many_errors", "agent_stop"]) if 0.1 < odds < 0.14 else "user_stop"
    messages = [] if 0.14 < odds < 0.16 else messages
    return {"domain": domain, "task_id": task_id, "termination_reason": reason, "messages": messages}


@pytest.fixture(scope="session")
def disturbed():
    """The builder of a conversation: domain, task id and seed in, transcript out."""
    return conversation


@pytest.fixture(scope="session")
def disturbed_calls():
    """The builder of calls: task and random generator in; names, arguments and sides out."""
    return disturbed_actions


@pytest.fixture(scope="session", name="random_call")
def random_call_of():
    """The builder of a call: domain and random generator in; name, arguments and side out."""
    return random_call


if __name__ == "__main__":
    for seed in range(int(sys.argv[1])):
        for domain in dataset.DOMAINS:
            for task_id in dataset.select(domain, "base", (), None):
                print(json.dumps({**conversation(domain, task_id, seed), "seed": seed}))
