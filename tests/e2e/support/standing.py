"""What stands in a namespace, and what an upgrade must leave as it is: shards, servers, and what belongs to them."""


def shards(runs, name):
    """Return the uids of a run's shards, by pod."""
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in runs.pods(name)}


def servers(runs):
    """Return uid and template of each server's pod, by pool."""
    found = runs.look("pods", labelSelector="toolorch.dev/kind=ModelPool")
    return {
        pod["metadata"]["labels"]["toolorch.dev/name"]: (
            pod["metadata"]["uid"], pod["metadata"]["annotations"]["toolorch.dev/template-hash"]
        )
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
    }  # fmt: skip


def children(runs, name):
    """Return the names of all that a run or pool has made."""
    kinds = "deployments,replicasets,pods,services,configmaps,jobs"
    found = runs.cluster.get(kinds, namespace=runs.namespace, selector=f"toolorch.dev/name={name}")
    return [i["metadata"]["name"] for i in found]


def image_tags(pods):
    """Return the tags of the pods' images."""
    return {p["spec"]["containers"][0]["image"].rpartition(":")[2] for p in pods}


def assert_kept(before, after, *used):
    """Assert that servers in use are those from before, and others too unless this version wants them different."""
    assert {name: after[name] for name in used} == {name: before[name] for name in used}
    assert after.keys() == before.keys()
    assert [name for name in before if after[name][1] == before[name][1] and after[name] != before[name]] == []
