"""Objects that any user may put into an API server do not end the operator that watches all of them."""

import json
from pathlib import Path

import pytest
import yaml
from patient import until

pytestmark = pytest.mark.faults

EXAMPLES = Path(__file__).parents[2] / "examples"

POOL = {
    "apiVersion": "toolorch.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "small"},
    "spec": {"model": "openai/gpt-oss-20b"},
}
DEEP = 9_900
"""Levels of JSON; the API server takes up to 10,000."""
NAMES = ["..", ".", "../../kube-system/secrets/x", "a/b"]


def pools(namespace, name=""):
    return f"/apis/toolorch.dev/v1alpha1/namespaces/{namespace}/modelpools" + (f"/{name}" if name else "")


def nested(levels, name="a"):
    return f'{{"{name}":' * levels + "{}" + "}" * levels


async def post(ground, path, text):
    """Create an object that this program could not write as JSON itself; return the answer's status."""
    async with ground.session.post(path, data=text, headers={"Content-Type": "application/json"}) as answer:
        return answer.status


async def test_specs_of_any_depth_are_refused_at_the_door(ground):
    await ground.make_namespace("hostile-door")
    deep = json.dumps({**POOL, "spec": {**POOL["spec"], "chatTemplateKwargs": "DEEP"}})
    assert await post(ground, pools("hostile-door"), deep.replace('"DEEP"', nested(DEEP))) == 422
    spec = {
        "benchmark": {"name": "tau2"},
        "roles": {"agent": {"pool": "p"}, "user": {"pool": "p"}},
        "userVariants": [{"name": "odd", "instructions": "DEEP"}],
    }
    run = json.dumps({**POOL, "kind": "EvalRun", "spec": spec})
    runs = pools("hostile-door").replace("modelpools", "evalruns")
    assert await post(ground, runs, run.replace('"DEEP"', nested(DEEP))) == 422
    assert await post(ground, runs, run.replace('"DEEP"', '"be odd"')) == 201
    shallow = deep.replace('"DEEP"', '{"thinking": true, "stop": null, "words": ["a", {"b": [1]}]}')
    assert await post(ground, pools("hostile-door"), shallow) == 201
    stored = await ground.get(pools("hostile-door", "small"))
    assert stored["spec"]["chatTemplateKwargs"] == {"thinking": True, "stop": None, "words": ["a", {"b": [1]}]}


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda p: str(p.relative_to(EXAMPLES)))
async def test_the_door_is_open_to_the_examples(ground, path):
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] not in ("ModelPool", "EvalRun"):
            continue
        made = await ground.request(
            "POST", pools("default").replace("modelpools", f"{document['kind'].lower()}s"), document,
            dryRun="All", fieldValidation="Strict",
        )  # fmt: skip
        assert made["metadata"]["name"] == document["metadata"]["name"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_run_names_no_pool_or_secret_that_is_a_way_elsewhere(ground, name):
    await ground.make_namespace(namespace := f"hostile-names-{NAMES.index(name)}")
    runs = pools(namespace).replace("modelpools", "evalruns")
    roles = {"agent": {"pool": name}, "user": {"pool": "p"}}
    output = {"uri": "s3://evals/runs", "secretRef": {"name": name}}
    for wrong in ({"roles": roles}, {"output": output}):
        spec = {"benchmark": {"name": "tau2"}, "roles": {"agent": {"pool": "p"}, "user": {"pool": "p"}}, **wrong}
        assert await post(ground, runs, json.dumps({**POOL, "kind": "EvalRun", "spec": spec})) == 422


async def test_a_pod_of_ten_thousand_levels_does_not_end_the_watch_over_all_others(ground, operators):
    await ground.make_namespace("hostile-depth")
    pods = "/api/v1/namespaces/hostile-depth/pods"
    fields = f'{{"f:metadata": {{"f:labels": {nested(DEEP - 100, "f:a")}}}}}'
    owned = {"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": "DEEP"}
    pod = {
        "metadata": {
            "name": "deep", "labels": {"app.kubernetes.io/managed-by": "toolorch"}, "managedFields": [owned],
        },
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }  # fmt: skip
    assert await post(ground, pods, json.dumps(pod).replace('"DEEP"', fields)) == 201
    await ground.create(pools("hostile-depth"), POOL)
    operator = await operators.start(
        ground.kubeconfig(), "hostile-depth", environ={"TOOLORCH_WATCH_NAMESPACE": "hostile-depth"}
    )
    try:
        await operator.started()

        async def reason():
            return ((await ground.get(pools("hostile-depth", "small"))).get("status") or {}).get("reason")

        await until(reason, lambda found: found is not None)
        await ground.patch(pools("hostile-depth", "small"), {"spec": {"replicas": 0}})
        await until(reason, lambda found: found == "ScaledToZero")
        assert operator.code is None
        operator.terminate()
        assert await operator.wait() == 0
    finally:
        operator.kill()
        async with ground.session.delete(f"{pods}/deep") as answer:
            assert answer.status == 200
        await ground.delete(pools("hostile-depth", "small"))
