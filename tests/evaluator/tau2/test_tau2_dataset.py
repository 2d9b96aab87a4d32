"""Which units a spec is over, in which order, and what is said of one that names what does not exist."""

import subprocess
import sys

import pytest

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import slug
from toolorch_evaluator.benchmarks.registry import benchmark
from toolorch_evaluator.benchmarks.seeds import trial_seed
from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.reference import reference, task_id_of_slug
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas


def spec(**fields):
    outside = {k: fields.pop(k) for k in ("trials", "userVariants") if k in fields}
    roles = {"agent": {"pool": "a"}, "user": {"pool": "u"}}
    return EvalRunSpec.model_validate({"benchmark": {"name": "tau2", **fields}, "roles": roles, **outside})


@pytest.mark.parametrize(
    ("domain", "split", "count"),
    [
        ("retail", "base", 114),
        ("retail", "train", 74),
        ("retail", "test", 40),
        ("airline", "base", 50),
        ("airline", "train", 30),
        ("airline", "test", 20),
        ("telecom", "base", 114),
        ("telecom", "train", 74),
        ("telecom", "test", 40),
        ("telecom", "small", 20),
        ("telecom", "full", 2285),
    ],
)
def test_splits_have_the_sizes_of_the_benchmark(domain, split, count):
    ids = dataset.select(domain, split, (), None)
    assert len(ids) == len(set(ids)) == count


def test_without_domains_a_run_is_over_all_278_base_tasks_retail_first():
    units = benchmark("tau2").list_units(spec()).units
    assert len(units) == 278
    assert [d for i, d in enumerate(u.domain for u in units) if i == 0 or units[i - 1].domain != d] == [
        "retail",
        "airline",
        "telecom",
    ]


def test_num_tasks_takes_the_first_of_each_domain_and_trials_multiply():
    wanted = spec(domains=["telecom", "airline"], numTasks=3, trials=2)
    units = benchmark("tau2").list_units(wanted).units
    assert len(units) == len({u.key for u in units}) == 2 * 3 * 2
    assert [u.task_id for u in units if u.domain == "airline" and u.trial == 1] == [*"012"]


def test_named_tasks_are_taken_where_they_are_and_unknown_ones_refused():
    units = benchmark("tau2").list_units(spec(domains=["retail", "airline"], taskIds=["113", "7"])).units
    assert [(u.domain, u.task_id) for u in units] == [("retail", "7"), ("retail", "113"), ("airline", "7")]
    with pytest.raises(ValueError, match=r"unknown task '114': not in split 'base' of retail"):
        benchmark("tau2").list_units(spec(domains=["retail"], taskIds=["114"]))


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown benchmark 'tau3': known are"):
        benchmark("tau3")
    with pytest.raises(ValueError, match="unknown split 'small' of retail: known are train, test, base"):
        benchmark("tau2").list_units(spec(domains=["retail"], split="small"))
    with pytest.raises(ValueError, match="unknown domain 'bank' of tau2: known are retail, airline, telecom"):
        dataset.task("bank", "1")


def test_the_dataset_hash_is_of_the_domains_that_a_run_is_over():
    one, both = (
        benchmark("tau2").list_units(spec(domains=d)).dataset_hash for d in (["retail"], ["retail", "airline"])
    )
    assert len(one) == 64
    assert one != both
    assert both == benchmark("tau2").list_units(spec(domains=["airline", "retail"])).dataset_hash


def test_references_are_found_by_slug():
    for domain in dataset.DOMAINS:
        for task_id in dataset.splits(domain)["base"]:
            assert task_id_of_slug(domain, slug(task_id)) == task_id
    first = reference("retail", "0")
    assert [a.name for a in first.actions][:2] == ["find_user_id_by_name_zip", "get_order_details"]
    assert {a.requestor for a in reference("telecom", dataset.splits("telecom")["base"][0]).actions} <= {
        "assistant",
        "user",
    }


def test_trial_seeds_are_those_that_upstream_draws_from_300():
    assert [trial_seed(300, trial) for trial in range(4)] == [626729, 373753, 361454, 1567]


def test_neither_references_nor_environments_import_inspect_ai():
    """It takes seconds, and a shard's first model call waits for it."""
    code = (
        "import sys; from toolorch_evaluator.benchmarks.tau2 import dataset, environment, reference, schemas;"
        "reference.reference('airline', '0'); environment.Environment(dataset.task('retail', '0'));"
        "schemas.tool_schemas('telecom', 'user'); print([m for m in sys.modules if m.startswith('inspect_')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("domain", "side", "count"),
    [("retail", "assistant", 15), ("airline", "assistant", 14), ("telecom", "assistant", 13), ("telecom", "user", 30)],
)
def test_every_tool_is_offered_with_words_for_itself_and_each_argument(domain, side, count):
    functions = [s["function"] for s in tool_schemas(domain, side)]
    assert len({f["name"] for f in functions}) == len(functions) == count
    assert all(f["description"] for f in functions)
    assert all(p.get("description") for f in functions for p in f["parameters"]["properties"].values())


def test_a_tools_schema_is_that_of_its_signature():
    schema = next(s for s in tool_schemas("telecom", "assistant") if s["function"]["name"] == "get_bills_for_customer")
    assert schema["type"] == "function"
    assert schema["function"]["parameters"]["required"] == ["customer_id"]
    assert schema["function"]["parameters"]["properties"]["limit"] == {
        "default": 12,
        "description": "Maximum number of bills to return.",
        "title": "Limit",
        "type": "integer",
    }
    assert tool_schemas("retail", "user") == ()
