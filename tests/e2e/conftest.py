"""The kind cluster, the installed chart and its bucket, for tests that need the real thing."""

import os
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from kind_cluster import CACHE, PATIENCE, RELEASE, RELEASE_NAMESPACE, Cluster
from xdist.scheduler import LoadScopeScheduling

NEED_NO_CLUSTER = ("tests/evaluator/", "tests/e2e/test_images.py", "tests/e2e/test_example_runs.py")
"""Tests that are among these for their length alone."""


class OneHasTheCluster(LoadScopeScheduling):
    """All tests of the cluster in one process, in their order; what needs none is tested by others beside."""

    def _split_scope(self, nodeid):
        return nodeid if nodeid.startswith(NEED_NO_CLUSTER) else "cluster"


def pytest_xdist_make_scheduler(config, log):
    """Use it where groups are asked for: those of xdist itself need node ids that may be changed."""
    return OneHasTheCluster(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.fixture(scope="session")
def cluster():
    """The kind cluster that `make cluster images` leaves."""
    name = os.environ.get("TOOLORCH_CLUSTER", "toolorch")
    kubeconfig = CACHE / "kind" / f"{name}.kubeconfig"
    opened = Cluster(kubeconfig)
    answer = opened.call("kubectl", "get", "nodes", "--request-timeout=10s") if kubeconfig.exists() else None
    if answer is None or answer.returncode:
        pytest.fail("there is no kind cluster to test on: run `make cluster images` before, or `make test` for all")
    return opened


@pytest.fixture(scope="session")
def release(cluster):
    """The chart, installed with the tests' values; afterwards as it was: gone, or with the demo's values alone."""
    was_there = cluster.is_installed()
    cluster.install()
    yield RELEASE
    if was_there:
        cluster.install(values=())
    else:
        cluster.helm("uninstall", RELEASE, "--namespace", RELEASE_NAMESPACE, "--wait")


@pytest.fixture(scope="session")
def _namespaces(cluster):
    """Names of the namespaces that tests made; none is left when the session ends."""
    made = []
    yield made
    end = time.monotonic() + PATIENCE
    while made and time.monotonic() < end:
        there = {item["metadata"]["name"] for item in cluster.get("namespaces")}
        made[:] = [name for name in made if name in there]
        time.sleep(1)
    assert not made, f"namespaces that do not go: {made}"


@pytest.fixture(scope="module")
def namespace(cluster, release, _namespaces, request):
    """A namespace of this module's own: restricted pods only, and the Secret that opens the bucket."""
    name = cluster.make_namespace(Path(request.module.__file__).stem.removeprefix("test_").replace("_", "-"))
    _namespaces.append(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def client(cluster):
    """An HTTP client of the API server."""
    command = ["kubectl", "proxy", "--port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=cluster.env)
    try:
        address = process.stdout.readline().split()[-1]
        with httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=30) as opened:
            yield opened
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()
