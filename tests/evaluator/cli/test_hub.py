"""The commit of a model in the hub's cache on this machine."""

import pytest

from toolorch_evaluator.cli.hub import find_commit

COMMIT = "0123abcd" * 5


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "hub" / "models--org--tiny"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(f"{COMMIT}\n")
    (folder / "refs" / "gone").write_text("f" * 40)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "revision", "commit"),
    [
        pytest.param("org/tiny", "", COMMIT, id="the newest that is there"),
        pytest.param("org/tiny", "main", COMMIT, id="a branch"),
        pytest.param("org/tiny", "a" * 40, "a" * 40, id="a commit is one"),
        pytest.param("org/tiny", "gone", "", id="a name whose files are not there"),
        pytest.param("org/tiny", "v2", "", id="a name that is not there"),
        pytest.param("org/other", "", "", id="a model that is not there"),
        pytest.param("/models/tiny", "", "", id="a folder"),
    ],
)
def test_the_commit_of_a_model_is(cache, model, revision, commit):
    assert find_commit(model, revision, {"HF_HOME": str(cache)}) == commit


def test_the_cache_is_where_the_servers_environment_says(cache, tmp_path):
    assert find_commit("org/tiny", "", {"HF_HUB_CACHE": str(cache / "hub"), "HF_HOME": "/nowhere"}) == COMMIT
    assert find_commit("org/tiny", "", {"HOME": str(tmp_path / "empty")}) == ""
