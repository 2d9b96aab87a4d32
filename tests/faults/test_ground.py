"""The ground that faults are made on: real controllers act on it, and operators on it are real processes."""

import asyncio
import os

import pytest
from admin import Answer
from patient import until

pytestmark = pytest.mark.faults

JOB = {
    "metadata": {"name": "two"},
    "spec": {
        "completions": 2,
        "parallelism": 2,
        "completionMode": "Indexed",
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}},
    },
}
POOL = {
    "apiVersion": "toolorch.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "small"},
    "spec": {"model": "openai/gpt-oss-20b"},
}


def pools(namespace, name=""):
    return f"/apis/toolorch.dev/v1alpha1/namespaces/{namespace}/modelpools" + (f"/{name}" if name else "")


@pytest.fixture
def at_pools(ground):
    async def look(namespace="ground-pool"):
        return (await ground.find(pools(namespace, "small")) or {}).get("status") or {}

    return look


async def test_a_kind_of_ours_is_there_with_its_rules(ground):
    await ground.make_namespace("ground-kinds")
    wrong = {**POOL, "spec": {**POOL["spec"], "replicas": -1}}
    with pytest.raises(Answer, match="replicas"):
        await ground.create(pools("ground-kinds"), wrong)


async def test_a_job_gets_pods_and_takes_them_along(ground):
    await ground.make_namespace("ground-job")
    await ground.create("/apis/batch/v1/namespaces/ground-job/jobs", JOB)

    async def names():
        return [pod["metadata"]["name"] for pod in (await ground.get("/api/v1/namespaces/ground-job/pods"))["items"]]

    assert len(await until(names, lambda found: len(found) == 2)) == 2
    await ground.delete("/apis/batch/v1/namespaces/ground-job/jobs/two")
    await until(names, lambda found: not found)


async def test_a_pool_takes_along_what_it_owns(ground):
    await ground.make_namespace("ground-owner")
    pool = await ground.create(pools("ground-owner"), POOL)
    owner = {"apiVersion": POOL["apiVersion"], "kind": "ModelPool", "name": "small", "uid": pool["metadata"]["uid"]}
    own = {"metadata": {"name": "own", "ownerReferences": [owner]}}
    await ground.create("/api/v1/namespaces/ground-owner/configmaps", own)
    await ground.delete(pools("ground-owner", "small"))

    async def there():
        return await ground.find("/api/v1/namespaces/ground-owner/configmaps/own")

    await until(there, lambda found: found is None)


async def test_a_namespace_goes_with_all_that_is_in_it(ground):
    await ground.make_namespace("ground-leaves")
    await ground.create(pools("ground-leaves"), POOL)
    await ground.delete("/api/v1/namespaces/ground-leaves")

    async def there():
        return await ground.find("/api/v1/namespaces/ground-leaves")

    await until(there, lambda found: found is None)


async def test_an_operator_reconciles_is_killed_and_another_goes_on(ground, operators, at_pools):
    await ground.make_namespace("ground-pool")
    environ = {"TOOLORCH_WATCH_NAMESPACE": "ground-pool"}
    first = await operators.start(ground.kubeconfig(), "first", environ)
    await first.started()
    await ground.create(pools("ground-pool"), POOL)
    assert (await until(at_pools))["observedGeneration"] == 1
    first.kill()
    assert await first.wait() == -9
    await ground.patch(pools("ground-pool", "small"), {"spec": {"replicas": 2}})
    second = await operators.start(ground.kubeconfig(), "second", environ)
    await until(at_pools, lambda status: status.get("observedGeneration") == 2)
    second.terminate()
    assert await second.wait() == 0


async def test_an_operator_that_is_told_to_end_as_soon_as_it_watches_ends_in_order(ground, operators):
    soon = await operators.start(ground.kubeconfig(), "soon")
    await soon.started()
    soon.terminate()
    assert await soon.wait() == 0


async def test_the_exit_code_and_the_last_words_of_an_operator_are_known(ground, operators):
    wrong = await operators.start(ground.kubeconfig(), "wrong", {"TOOLORCH_RESYNC_SECONDS": "never"})
    assert await wrong.wait() == 2
    assert "TOOLORCH_RESYNC_SECONDS must be a whole number" in wrong.log.read_text()


async def test_operators_are_different_processes_with_chances_of_their_own(ground, operators):
    started = await asyncio.gather(*(operators.start(ground.kubeconfig(), "of-many") for _ in range(3)))
    ports = await asyncio.gather(*(operator.started() for operator in started))
    assert len(set(ports)) == len({operator.pid for operator in started} - {os.getpid()}) == 3
    for operator in started:
        operator.kill()
    assert [await operator.wait() for operator in started] == [-9, -9, -9]
