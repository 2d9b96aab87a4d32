"""A matrix becomes runs: which assignments, under which names, with which specs; and what a matrix must not be."""

import pytest

from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.sweep_documents import load_sweep
from toolorch_evaluator.cli.sweep_matrix import name_runs


def sweep(**change):
    document = {
        "apiVersion": "toolorch.dev/v1alpha1",
        "kind": "Sweep",
        "metadata": {"name": "taubench"},
        "matrix": {"domain": ["retail", "airline"], "strategy": ["act", "react"], "trials": [1, 5]},
        "spec": {
            "benchmark": {"name": "tau-bench", "domains": ["${domain}"], "options": {"strategy": "${strategy}"}},
            "trials": "${trials}",
            "roles": {"agent": {"pool": "agent"}, "user": {"pool": "user"}},
        },
    }
    return {**document, **change}


def spec_with(**change):
    return {**sweep()["spec"], **change}


@pytest.fixture
def load(write, documents):
    def load(document, *pools, with_pools=True):
        given = pools or (documents.pool("agent"), documents.pool("user"))
        return load_sweep([write(document, *given)], with_pools=with_pools)

    return load


@pytest.fixture
def refusal(load):
    def refusal(document, *pools):
        with pytest.raises(BadInputError) as refused:
            load(document, *pools)
        return [sentence.partition("documents.yaml:")[2].partition(": ")[2] for sentence in refused.value.sentences]

    return refusal


def test_the_last_axis_changes_fastest_and_what_is_excluded_is_left_out(load):
    loaded = load(sweep(exclude=[{"domain": "airline", "strategy": "act"}, {"trials": 5, "strategy": "react"}]))
    assert [(*each.assignment.values(),) for each in loaded.runs] == [
        ("retail", "act", 1),
        ("retail", "act", 5),
        ("retail", "react", 1),
        ("airline", "react", 1),
    ]


def test_a_run_is_what_its_assignment_says_and_its_name_can_be_read(load):
    run = load(sweep()).runs[1]
    assert run.run.metadata.name == "taubench-retail-act-5"
    assert (run.run.spec.benchmark.domains, run.run.spec.benchmark.options.strategy) == (["retail"], "act")
    assert (run.run.spec.trials, list(run.pools)) == (5, ["agent", "user"])


def test_an_axis_may_stand_within_a_string_and_then_is_text(load, documents):
    roles = {"agent": {"pool": "qwen-${trials}b"}, "user": {"pool": "user"}}
    pools = [documents.pool(name) for name in ("qwen-1b", "qwen-5b", "user")]
    loaded = load(sweep(spec=spec_with(trials=1, roles=roles)), *pools)
    assert loaded.runs[1].run.spec.roles.agent.pool == "qwen-5b"


def test_a_manifest_holds_nothing_but_what_the_sweep_says(load):
    manifest = load(sweep(metadata={"name": "s", "namespace": "team", "labels": {"a": "b"}}), with_pools=False).runs[0]
    assert manifest.manifest["metadata"] == {"name": "s-retail-act-1", "namespace": "team", "labels": {"a": "b"}}
    assert manifest.manifest["spec"]["trials"] == 1
    assert manifest.manifest.keys() == {"apiVersion", "kind", "metadata", "spec"}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        pytest.param(["Qwen/Qwen3-4B"], ["s-qwen-qwen3-4b"], id="what no name may hold becomes a dash"),
        pytest.param(["a.b", "a-b"], ["s-a-b", "s-a-b-45cfd4"], id="two that would be the same are told apart"),
        pytest.param(["x" * 50], [f"s-{'x' * 31}-9c8b94"], id="a long one is cut"),
    ],
)
def test_names(values, names):
    given = name_runs("s", [{"model": value} for value in values])
    assert given == names
    assert all(len(name) <= 40 for name in given)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"matrix": {}}, "Sweep taubench: matrix: Dictionary should have", id="no axis"),
        pytest.param({"matrix": {"domain": []}}, "Sweep taubench: matrix.domain: List should have", id="an empty axis"),
        pytest.param(
            {"matrx": {}}, "Sweep taubench: matrx is not a field of this kind; did you mean matrix?", id="a field"
        ),
        pytest.param(
            {"matrix": {**sweep()["matrix"], "x": ["a", "a"]}}, "matrix.x: 'a' stands there twice", id="a value twice"
        ),
        pytest.param(
            {"matrix": {**sweep()["matrix"], "x": ["a"]}},
            "matrix.x: spec has no ${x}: its runs would be the same",
            id="an axis that nothing uses",
        ),
        pytest.param(
            {"spec": spec_with(seed="${sed}")},
            "spec.seed: ${sed} is no axis of the matrix; axes: domain, strategy, trials",
            id="an unknown axis",
        ),
        pytest.param({"exclude": [{"model": "a"}]}, "exclude[0].model is no axis", id="an exclusion of no axis"),
        pytest.param({"exclude": [{"trials": 2}]}, "exclude[0].trials: 2 is no value", id="an exclusion of no value"),
        pytest.param({"exclude": [{"trials": 1}, {"trials": 5}]}, "leaves out every run", id="nothing left"),
        pytest.param({"metadata": {"name": "Tau"}}, "metadata.name must start with a letter", id="its name"),
        pytest.param(
            {"matrix": {**sweep()["matrix"], "trials": list(range(1, 300))}}, "1196 runs, 1000 are", id="too many"
        ),
    ],
)
def test_a_matrix_that_cannot_be_meant_is_refused(refusal, change, says):
    assert says in " ".join(refusal(sweep(**change)))


def test_a_mistake_of_many_runs_is_told_once_with_the_first_assignment(refusal):
    (sentence,) = refusal(sweep(spec=spec_with(shards=0)))
    assert sentence.startswith("spec.shards: should be greater than or equal to 1")
    assert sentence.endswith("(domain=retail, strategy=act, trials=1; and 7 more)")


def test_a_run_whose_spec_is_invalid_and_a_pool_that_is_not_there_are_named_with_their_assignment(refusal, documents):
    matrix = {"domain": ["retail", "telecom"], "strategy": ["act"], "trials": [1]}
    assert refusal(sweep(matrix=matrix)) == [
        "spec.benchmark: domains of tau-bench are retail and airline (domain=telecom, strategy=act, trials=1)"
    ]
    matrix["domain"] = ["retail"]
    (sentence,) = refusal(sweep(matrix=matrix), documents.pool("user"))
    assert "spec.roles.agent.pool: there is no ModelPool agent in the files" in sentence
    assert sentence.endswith("(domain=retail, strategy=act, trials=1)")


@pytest.mark.parametrize("count", [0, 2])
def test_there_must_be_one_sweep(write, documents, count):
    path = write(documents.pool("agent"), *[sweep()] * count)
    with pytest.raises(BadInputError, match=f"{count or 'no'} Sweep documents; the command needs exactly one"):
        load_sweep([path], with_pools=True)


def test_a_run_beside_the_sweep_is_refused(write, documents):
    with pytest.raises(BadInputError, match="kind must be Sweep or ModelPool, not 'EvalRun'"):
        load_sweep([write(sweep(), documents.evalrun())], with_pools=True)
