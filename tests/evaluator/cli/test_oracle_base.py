"""`toolorch run` gives an oracle, a part-time oracle and an idler what the rules of τ²-bench say they get.

Each runs the first base tasks of each domain; that an oracle passes all 278 of them is shown without a server, by
test_tau2_conversation.py. All three runs go on side by side: much of a run's time on two cores is start-up, and this
hides it.
"""

import gzip
import json
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from toolorch_api.unit import Unit
from toolorch_evaluator.cli.replicas import HOST, free_port
from toolorch_mock.brains.skill import is_skilled

# Agent's model, and how many tasks of each domain.
AGENTS = {"oracle": ("mock/oracle", 30), "skill-60": ("mock/skill-60", 20), "idle": ("mock/idle", 30)}
DOMAINS = ("retail", "airline", "telecom")
# Tools whose reference calls change nothing; every other tool of retail and airline writes.
READS = ("get_", "find_", "list_", "search_", "calculate", "transfer_to_human_agents")
# The one write of these reference actions is refused by the domain's own tools, so it changes nothing either.
REFUSED_WRITES = {("retail", "12"), ("retail", "105")}


@cache
def base_tasks(domain):
    """The raw tasks of the base split, straight from the packaged files."""
    folder = Path(find_spec("inspect_evals").submodule_search_locations[0]) / "tau2" / "data" / "domains" / domain
    packed = folder / "tasks.json.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / "tasks.json").read_bytes()
    base = set(json.loads((folder / "split_tasks.json").read_bytes())["base"])
    return [task for task in json.loads(text) if task["id"] in base]


def passes_without_a_deed(domain, task):
    """Rules of the benchmark: the database must end as the reference leaves it, and what must be said must be said."""
    criteria = task["evaluation_criteria"]
    if criteria.get("communicate_info") or criteria.get("env_assertions"):
        return False
    is_read_only = all(action["name"].startswith(READS) for action in criteria["actions"])
    return is_read_only or (domain, task["id"]) in REFUSED_WRITES


def units_of(name):
    """Unit keys of an agent's run, each with whether doing nothing passes it."""
    return {
        Unit("control", domain, task["id"], 0).key: passes_without_a_deed(domain, task)
        for domain in DOMAINS
        for task in base_tasks(domain)[: AGENTS[name][1]]
    }


def predicted(name):
    """Unit keys that the agent must pass."""
    share = {"oracle": 100, "skill-60": 60, "idle": 0}[name]
    return {key for key, for_nothing in units_of(name).items() if for_nothing or is_skilled(key, share)}


@pytest.fixture(scope="module")
def server():
    """A server of the user's model that somebody else runs; its base URL."""
    port = free_port()
    arguments = ["serve", "mock/user", "--served-model-name", "user", "--host", HOST, "--port", str(port)]
    program = subprocess.Popen([sys.executable, "-m", "toolorch_mock", *arguments], stderr=subprocess.DEVNULL)
    yield f"http://{HOST}:{port}/v1"
    program.terminate()
    program.wait()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, start, end, documents, server):
    """Run all three side by side; by name: exit code, output, errors, and the folder of the run."""
    commands = {}
    for name, (model, count) in AGENTS.items():
        folder = tmp_path_factory.mktemp(name)
        benchmark = {"domains": list(DOMAINS), "numTasks": count}
        run = documents.evalrun(name, benchmark=benchmark, shards=1, concurrencyPerShard=16)
        pools = [documents.mock_pool("agent", model), documents.mock_pool("user", "mock/user")]
        (folder / "run.yaml").write_text(yaml.safe_dump_all([run, *pools]))
        elsewhere = ("--endpoint", f"user={server}") if name == "idle" else ()
        commands[name] = (start("run", "-f", folder / "run.yaml", "--output", folder / "runs", *elsewhere), folder)
    return {name: (*end(command), next((folder / "runs").glob("*-*"))) for name, (command, folder) in commands.items()}


def results_of(folder):
    results = [json.loads(path.read_bytes()) for path in (folder / "results").rglob("*.json")]
    return {Unit(r["variant"], r["domain"], r["taskId"], r["trial"]).key: r for r in results}


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_passes_exactly_what_the_rules_say(finished, name):
    code, out, err, folder = finished[name]
    assert code == 0, err
    results = results_of(folder)
    assert set(results) == set(units_of(name))
    assert {key for key, result in results.items() if result["status"] == "passed"} == predicted(name)
    assert f"score {len(predicted(name)) / len(results):.3f} over {len(results)} scored units" in out


def test_a_server_that_ran_already_is_called_and_not_started(finished):
    folder = finished["idle"][-1]
    assert sorted(path.name for path in (folder / "logs").glob("*-0.log") if "idle" not in path.name) == ["agent-0.log"]
    assert all(result["endpoints"] == ["agent/agent-0", "user/user"] for result in results_of(folder).values())


def test_the_numbers_are_not_trivial():
    assert {name: (len(predicted(name)), len(units_of(name))) for name in AGENTS} == {
        "oracle": (90, 90),
        "skill-60": (41, 60),
        "idle": (12, 90),
    }
