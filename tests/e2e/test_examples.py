"""The examples of ToolOrchestra's layouts on a real API server, which judges schema and rules and keeps nothing."""

from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.cluster

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "toolorchestra"


def test_the_api_server_takes_every_pool(cluster, namespace):
    done = cluster.call("kubectl", "--namespace", namespace, "apply", "--dry-run=server", "-f", FOLDER)
    assert done.returncode == 0, done.stderr
    documents = [d for path in FOLDER.glob("*.yaml") for d in yaml.safe_load_all(path.read_text())]
    names = sorted(f"modelpool.toolorch.dev/{d['metadata']['name']} created (server dry run)" for d in documents)
    assert sorted(done.stdout.splitlines()) == names
    assert cluster.get("modelpools", namespace=namespace) == []
