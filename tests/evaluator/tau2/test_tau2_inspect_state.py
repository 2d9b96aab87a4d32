"""The score command against inspect_evals' own toolkits and state, on random sequences of tool calls.

The same calls are made here and on the package's classes, which keep their state in inspect_ai's store: answers, final
states, equality with the reference's database, and assertions on the environment must agree. Where answers are worded
otherwise, the test knows why: see DEVIATIONS.
"""

import asyncio
import io
import json
import random
import re
from collections import Counter
from functools import cache
from importlib import import_module
from types import SimpleNamespace

import pytest

from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.environment import RESERVED, Environment
from toolorch_evaluator.benchmarks.tau2.message import Call, Message, dump_message
from toolorch_evaluator.benchmarks.tau2.overlay import Overlay, canonical
from toolorch_evaluator.score import score_file

# The package's own, and pydantic's of the odd values in the calls.
pytestmark = pytest.mark.filterwarnings("ignore")

# By domain and side: the class of the toolkit, the module and name of its tools, the class of its database, and the
# name under which the tools look for their toolkit in the store.
PACKAGE = {
    ("retail", "assistant"): ("retail.RetailAgentTools", "retail.tools all_retail_tools", "RetailDB", "RetailTools"),
    ("airline", "assistant"): (
        "airline.AirlineAgentTools", "airline.tools all_airline_tools", "FlightDB", "AirlineTools",
    ),
    ("telecom", "assistant"): (
        "telecom.TelecomAgentTools", "telecom.tools all_telecom_agent_tools", "TelecomDB", "TelecomAgentTools",
    ),
    ("telecom", "user"): (
        "telecom.TelecomUserTools", "telecom.user_tools all_telecom_user_tools", "TelecomUserDB", "TelecomUserTools",
    ),
}  # fmt: skip

APN_SETTINGS = {"apn_name", "reset_at_reboot", "mms_apn", "mmsc_url", "mms_proxy", "mms_port"}


@cache
def package(domain, side):
    kit, tools, database, instance = PACKAGE[domain, side]
    module = import_module(f"inspect_evals.tau2.{kit}")
    path, name = tools.split()
    factories = getattr(import_module(f"inspect_evals.tau2.{path}"), name)
    return getattr(module, kit.split(".")[-1]), {f.__name__: f for f in factories}, getattr(module, database), instance


@cache
def records(domain, side):
    return dataset.read_database(domain, dataset.DATABASES[domain][side == "user"])


@cache
def pristine(domain, side):
    return package(domain, side)[2].model_validate(records(domain, side))


class Theirs:
    """One world of the package: its toolkits over fresh databases, in a store of its own.

    `whole`: with databases of its own from the first record to the last, rather than copies of what is touched.
    """

    def __init__(self, task, whole):
        from inspect_ai.util._store import Store

        self.task, self.domain, self.whole, self.store = task, task.domain, whole, Store()
        self.sides = {}
        self.enter()
        self.sides = {side: self.equip(side) for domain, side in PACKAGE if domain == task.domain}
        for call in task.initial_calls:
            getattr(self.sides[call.side], call.name)(**call.arguments)
            self.sync()

    def enter(self):
        from inspect_ai.util._store import init_subtask_store

        init_subtask_store(self.store)

    def equip(self, side):
        kit, _, database, instance = package(self.domain, side)
        tools = kit(instance=instance)
        if self.whole or self.domain == "telecom":
            db = database.model_validate(json.loads(json.dumps(records(self.domain, side), default=str)))
        else:
            db = database.model_construct(**{name: Overlay(table) for name, table in pristine(self.domain, side)})
        tools.db, tools.initialized = db, True
        return tools

    def sync(self):
        if self.domain == "telecom":
            import_module("inspect_evals.tau2.telecom.environment").get_environment()

    def answer(self, name, arguments, side):
        """Return the tool's answer and whether it failed; None where the side has no such tool."""
        tool = package(self.domain, side)[1].get(name) if side in self.sides else None
        if tool is None:
            return None
        try:
            return asyncio.run(tool()(**arguments)), False
        except Exception as error:  # noqa: BLE001
            return f"Error: {error}", True
        finally:
            self.sync()

    def state(self):
        """Return, per side, the text of each record that is no longer as it was, or of the whole where it is small."""
        self.enter()
        return {side: self.changes(side, tools.db) for side, tools in self.sides.items()}

    def changes(self, side, db):
        if self.domain == "telecom":
            return canonical(db)
        if not self.whole:
            return {name: table.changes() for name, table in db}
        texts, known = texts_of(db), pristine_texts(self.domain, side)
        return {name: {k: t for k, t in rows.items() if known[name].get(k) != t} for name, rows in texts.items()}

    def meets_assertions(self):
        """Ask the package's own scorer of assertions on the environment; None where one of them raises."""
        self.enter()
        metadata = {"instance": "one", "task": rows(self.domain)[self.task.id]}
        scorer = import_module("inspect_evals.tau2.telecom.scorer").env_assertions()
        try:
            return float(asyncio.run(scorer(SimpleNamespace(metadata=metadata), None)).value == "C")
        except Exception:  # noqa: BLE001
            return None

    def follow_reference(self):
        """Do the reference actions, as the package's scorer of databases does."""
        for action in self.task.criteria.actions or ():
            if action.name not in ("calculate", "transfer_to_human_agents"):
                self.answer(action.name, json.loads(json.dumps(dict(action.arguments))), "assistant")
        return self


@cache
def rows(domain):
    return {row["id"]: row for row in json.loads(dataset.read(domain, dataset.TASKS[domain]))}


def texts_of(db):
    return {name: {key: canonical(record) for key, record in table.items()} for name, table in db}


@cache
def pristine_texts(domain, side):
    return texts_of(pristine(domain, side))


def is_about_the_signature(name, ours, theirs):
    """An error of Python's own names the function that was called, which here is upstream's method."""
    called = re.compile(r"^Error: [\w.<>]+\(\) ")
    return bool(called.match(ours)) and called.sub("", ours) == called.sub("", theirs)


def is_about_a_reserved_argument(name, ours, theirs):
    """Upstream's own call takes some names, so that a tool's argument of such a name is refused before the tool is."""
    return any(
        f"multiple values for keyword argument '{a}'" in ours or f"argument '{a}'" in ours for a in RESERVED
    ) and ("unexpected keyword argument" in theirs or "missing" in theirs)


def is_about_an_expression(name, ours, theirs):
    """`calculate` answers what is no arithmetic in the words of Python's evaluation, the package in its own."""
    return name == "calculate" and ours.startswith("Error: ") and theirs.startswith("Error: ")


def is_the_same_record(name, ours, theirs):
    """JSON of one record: spaces, numbers outside of records as text, and how a point in time is written, differ."""
    return ours[:1] in "[{" and theirs[:1] in "[{" and _plain(json.loads(ours)) == _plain(json.loads(theirs))


def _plain(value):
    match value:
        case dict():
            return {k: _plain(v) for k, v in value.items()}
        case list():
            return [_plain(v) for v in value]
        case str():
            return re.sub(r"(?<=\d)T(?=\d\d:)", " ", value)
        case _:
            return str(value)


DEVIATIONS = (is_about_the_signature, is_about_a_reserved_argument, is_about_an_expression, is_the_same_record)


def deviation(name, ours, theirs):
    """Return the name of the known deviation that sets two answers apart."""
    for known in DEVIATIONS:
        if known(name, ours, theirs):
            return known.__name__
    raise AssertionError(f"{name} answers {ours!r} here and {theirs!r} there")


def sequence(task, rng, disturbed_calls, random_call):
    """Reference actions, disturbed, with random calls among them."""
    calls = disturbed_calls(task, rng)
    for _ in range(rng.randrange(9)):
        calls.insert(rng.randrange(len(calls) + 1), random_call(task.domain, rng))
    return [call for call in calls if not takes_unknown_settings(*call)]


def takes_unknown_settings(name, arguments, side):
    """The package lets a phone's APN have settings that nobody knows, upstream refuses them: worlds part for good."""
    settings = arguments.get("apn_settings")
    return name == "set_apn_settings" and isinstance(settings, dict) and not settings.keys() <= APN_SETTINGS


def act(task, calls, theirs, seen):
    """Make the calls in both worlds, compare each answer and the ends, and return the transcript."""
    ours, messages = Environment(task), []
    for number, (name, arguments, side) in enumerate(calls):
        call = Call(f"c{number}", name, arguments, side)
        answer, other = ours.answer(call), theirs.answer(name, json.loads(json.dumps(arguments)), side)
        messages += [dump_message(Message(side, None, (call,))), dump_message(answer)]
        if other is None:
            assert answer.content in (f"Error: Tool '{name}' not found.", "Error: User tools not available") or any(
                a in arguments for a in RESERVED
            )
            continue
        assert answer.error == other[1], (name, arguments)
        seen["failed" if answer.error else "done"] += 1
        if answer.content != other[0]:
            seen[deviation(name, answer.content, other[0])] += 1
    assert ours.state() == theirs.state(), (task.domain, task.id, calls)
    return {"domain": task.domain, "task_id": task.id, "termination_reason": "user_stop", "messages": messages}


def verdict(task, theirs, whole):
    """Return what the package holds of the end: the part of the reward that its scorer gives."""
    if task.domain == "telecom":
        return {"ENV_ASSERTION": theirs.meets_assertions()}
    reference = Theirs(task, whole).follow_reference()
    if whole:
        same = reference.sides["assistant"].db.get_hash() == theirs.sides["assistant"].db.get_hash()
    else:
        same = reference.state() == theirs.state()
    return {"DB": float(same)}


def compare(folder, domain, count, calls_of, whole_every=0):
    """Compare `count` sequences of a domain; return how often what was seen."""
    seen, transcripts, verdicts, ids = Counter(), [], [], dataset.splits(domain)["base"]
    for number in range(count):
        rng = random.Random(f"{domain} {number}")
        task = dataset.task(domain, rng.choice(ids))
        whole = bool(whole_every) and number % whole_every == 0
        theirs = Theirs(task, whole)
        transcripts.append(act(task, calls_of(task, rng), theirs, seen))
        verdicts.append(verdict(task, theirs, whole))
    file, out = folder / f"{domain}.jsonl", io.StringIO()
    file.write_text("".join(json.dumps(t) + "\n" for t in transcripts))
    assert score_file("tau2", file, out, io.StringIO()) == 0
    for line, expected in zip(out.getvalue().splitlines(), verdicts, strict=True):
        result = json.loads(line)
        [(part, value)] = expected.items()
        assert result["reward_breakdown"].get(part) == value, result
        seen[f"{part} {value}"] += 1
    return seen


@pytest.fixture
def calls_of(disturbed_calls, random_call):
    return lambda task, rng: sequence(task, rng, disturbed_calls, random_call)


@pytest.mark.parametrize("domain", dataset.DOMAINS)
def test_ten_sequences_of_a_domain_end_alike(tmp_path, domain, calls_of):
    seen = compare(tmp_path, domain, 10, calls_of)
    assert seen["failed"]
    assert seen["done"] > 30


def test_unknown_settings_of_an_apn_are_refused_here_and_taken_there():
    task = dataset.task("telecom", dataset.splits("telecom")["small"][0])
    call = ("set_apn_settings", {"apn_settings": {"apn_name": "internet", "foo": 1}}, "user")
    assert takes_unknown_settings(*call)
    assert Environment(task).answer(Call("c", *call)).error
    assert not Theirs(task, True).answer(*call)[1]


@pytest.mark.cluster  # for its length: it needs none
@pytest.mark.parametrize("domain", dataset.DOMAINS)
def test_a_hundred_sequences_of_a_domain_end_alike_and_some_over_whole_databases(tmp_path, domain, calls_of):
    seen = compare(tmp_path, domain, 100, calls_of, whole_every=10)
    part = "ENV_ASSERTION" if domain == "telecom" else "DB"
    assert {f"{part} 0.0", f"{part} 1.0", "failed", "done", "is_about_the_signature", "is_the_same_record"} <= set(seen)
    assert seen["done"] > 500
