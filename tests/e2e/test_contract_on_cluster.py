"""Both CRDs on a real API server: bad specs are refused with words to act on, what is immutable stays."""

from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.cluster

TABLE = yaml.safe_load((Path(__file__).parents[1] / "crds" / "specs.yaml").read_text())


def refusal(cluster, document, namespace):
    done = cluster.call("kubectl", "--namespace", namespace, "apply", "-f", "-", given=yaml.safe_dump(document))
    assert done.returncode != 0, f"the API server took it: {done.stdout}"
    return done.stderr


@pytest.mark.parametrize("bad", TABLE["bad"], ids=lambda row: row["id"])
def test_bad_spec_is_refused_by_the_api_server(cluster, namespace, bad, merge_patch):
    document = merge_patch(TABLE["good"][bad["kind"]], bad["set"])
    assert bad["says"] in refusal(cluster, document, namespace)


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("ModelPool", {"spec": {"model": "org/other"}}, "spec.model is immutable"),
        (
            "ModelPool",
            {"spec": {"engine": "external", "external": {"baseURL": "http://x"}}},
            "spec.engine is immutable",
        ),
        ("EvalRun", {"spec": {"benchmark": {"numTasks": 3}}}, "spec.benchmark is immutable"),
        ("EvalRun", {"spec": {"trials": 2}}, "spec.trials is immutable"),
        ("EvalRun", {"spec": {"seed": 7}}, "spec.seed is immutable"),
        ("EvalRun", {"spec": {"roles": {"agent": {"pool": "other"}}}}, "spec.roles is immutable"),
        ("EvalRun", {"spec": {"output": {"uri": "s3://other/runs"}}}, "spec.output is immutable"),
    ],
)
def test_what_changes_results_is_immutable(cluster, namespace, merge_patch, kind, change, says):
    good = merge_patch(TABLE["good"][kind], {"metadata": {"name": "immutable"}})
    if kind == "ModelPool":
        good = merge_patch(good, {"spec": {"replicas": 0}})
    cluster.apply(good, namespace=namespace)
    assert says in refusal(cluster, merge_patch(good, change), namespace)


def test_short_names_category_and_scale_work(cluster, namespace, merge_patch):
    pool = merge_patch(TABLE["good"]["ModelPool"], {"metadata": {"name": "scaled"}, "spec": {"replicas": 0}})
    cluster.apply(pool, namespace=namespace)
    cluster.kubectl("scale", "mpl/scaled", "--replicas=0", namespace=namespace)
    assert "scaled" in cluster.kubectl("get", "toolorch", namespace=namespace)
    assert cluster.kubectl("get", "er", namespace=namespace) is not None
