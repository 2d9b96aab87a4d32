"""Files that cannot be run are refused with sentences that name file, line, field and what is allowed."""

import pytest

from toolorch_evaluator.cli.documents import load_run
from toolorch_evaluator.cli.errors import BadInputError


def refusal(*paths, name=None):
    with pytest.raises(BadInputError) as refused:
        load_run(paths, name)
    return "\n".join(refused.value.sentences)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "holds no document; expected ModelPool and EvalRun documents", id="an empty file"),
        pytest.param("---\n# nothing\n---\n", "holds no document", id="a file with comments only"),
        pytest.param("a: [1\nb: 2\n", ":2: this is not YAML: ", id="broken YAML with its line"),
        pytest.param("kind: EvalRun\nkind: ModelPool\n", ":2: key kind appears twice", id="a key twice"),
        pytest.param("[1, 2]", ":1: a document is a mapping with apiVersion, kind", id="a list"),
        pytest.param(
            "kind: ModelPol",
            ":1: kind must be ModelPool or EvalRun, not 'ModelPol'; did you mean ModelPool?",
            id="a kind",
        ),
        pytest.param("kind: Sweep", ":1: this is a Sweep, which toolorch sweep takes", id="a sweep"),
        pytest.param(
            "kind: EvalRun\napiVersion: toolorch.dev/v1",
            ":2: apiVersion must be toolorch.dev/v1alpha1, not 'toolorch.dev/v1'",
            id="a version",
        ),
        pytest.param(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {key: '?'}",
            ":1: Secret s: data.key is not base64",
            id="a secret that is none",
        ),
    ],
)
def test_what_is_no_document_is_refused(write, text, says):
    path = write(text)
    assert f"{path}" in refusal(path)
    assert says in refusal(path)


def test_a_misspelt_field_is_named_with_its_line_and_the_field_that_was_meant(write, documents):
    path = write(documents.pool("agent", gpuMemoryUtilisation=80))
    line = path.read_text().splitlines().index("  gpuMemoryUtilisation: 80") + 1
    sentence = refusal(path)
    assert sentence.startswith(f"{path}:{line}: ModelPool agent: spec.gpuMemoryUtilisation is not a field of this kind")
    assert "did you mean gpuMemoryUtilization?" in sentence


def test_all_mistakes_are_told_at_once(write, documents):
    first = write(documents.pool("agent", replicas=-1), name="first.yaml")
    second = write(documents.evalrun(shards=0, trials="many"), name="second.yaml")
    sentences = refusal(first, second).splitlines()
    assert [s.split(": ")[2].split(":")[0] for s in sentences] == ["spec.replicas", "spec.trials", "spec.shards"]


def test_a_missing_file_is_named(tmp_path):
    assert refusal(tmp_path / "nowhere.yaml") == f"{tmp_path / 'nowhere.yaml'}: there is no such file"


def test_a_folder_is_no_file(tmp_path):
    assert "cannot be read: Is a directory" in refusal(tmp_path)


def test_bytes_are_no_text(tmp_path):
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    assert "this is not UTF-8 text" in refusal(tmp_path / "b.yaml")


def test_a_run_needs_an_evalrun(write, documents):
    assert "no EvalRun document; a run needs exactly one" in refusal(write(documents.pool("agent")))


def test_of_several_runs_one_must_be_chosen(write, documents):
    path = write(documents.evalrun("one"), documents.evalrun("two"), documents.pool("agent"), documents.pool("user"))
    assert "2 EvalRun documents; choose one with --name: one, two" in refusal(path)
    assert "no EvalRun tow in" in refusal(path, name="tow")
    assert "did you mean two? (there: one, two)" in refusal(path, name="tow")
    assert load_run([path], "two").run.metadata.name == "two"


def test_a_pool_that_no_file_holds_is_named_with_its_role(write, documents):
    path = write(documents.evalrun(agent="agnet"), documents.pool("agent"), documents.pool("user"))
    sentence = refusal(path)
    assert (
        "EvalRun run: spec.roles.agent.pool: there is no ModelPool agnet in the files; did you mean agent?" in sentence
    )
    line = path.read_text().splitlines().index("      pool: agnet") + 1
    assert sentence.startswith(f"{path}:{line}: ")


def test_a_pool_of_another_namespace_is_not_used(write, documents):
    pool = documents.pool("agent")
    pool["metadata"]["namespace"] = "other"
    says = (
        "spec.roles.agent.pool: ModelPool agent is in namespace other, and a run uses pools of its own namespace only"
    )
    assert says in refusal(write(documents.evalrun(), pool, documents.pool("user")))


def test_a_name_may_be_defined_once(write, documents):
    first = write(documents.pool("agent"), name="first.yaml")
    second = write(documents.evalrun(), documents.pool("agent"), name="second.yaml")
    assert f"ModelPool agent is already defined at {first}:1" in refusal(first, second)


def test_pools_come_in_the_order_of_roles_and_others_are_left_out(write, documents):
    path = write(documents.pool("user"), documents.pool("spare"), documents.evalrun(), documents.pool("agent"))
    assert list(load_run([path]).pools) == ["agent", "user"]


def test_a_document_from_the_cluster_is_taken_with_its_status(write, documents):
    pool = {**documents.pool("agent"), "status": {"ready": "1/1", "whatever": 1}}
    pool["metadata"] |= {"uid": "u", "resourceVersion": "7", "managedFields": []}
    assert load_run([write(pool, documents.pool("user"), documents.evalrun())]).pools["agent"].status.ready == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]\n" for n in range(12)),
            "stands for more than 100000 values", id="aliases of aliases",
        ),
        pytest.param("a: &a [*a]", "holds itself", id="a list in itself"),
        pytest.param("[" * 600 + "]" * 600, "nested too deeply", id="six hundred lists"),
        pytest.param("a: !!python/object/apply:os.system [ls]", "this is not YAML", id="an object of Python's"),
    ],
)  # fmt: skip
def test_a_file_that_is_made_to_harm_is_refused(tmp_path, text, words):
    (tmp_path / "bomb.yaml").write_text(text)
    assert words in refusal(tmp_path / "bomb.yaml")


def test_config_maps_and_secrets_in_the_files_are_found(write, documents):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "aGVsbG8="}}
    path = write(secret, documents.evalrun(), documents.pool("agent"), documents.pool("user"))
    found = load_run([path]).references
    assert found.find("Secret", "default", "s", "key") == "hello"
    assert found.find("Secret", "default", "s", "other") is None
    assert "hello" not in repr(found)
