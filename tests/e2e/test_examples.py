"""All examples on a real API server, which judges schema and rules and keeps nothing."""

from pathlib import Path

import pytest
import yaml

from toolorch_evaluator.cli.sweep_documents import load_sweep

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/pools.yaml"))


def manifests(folder):
    """What is applied of a folder: its documents, and in place of a Sweep the runs that it means."""
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] == "Sweep":
                yield from (run.manifest for run in load_sweep([path], with_pools=False).runs)
            else:
                yield document


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_the_api_server_takes_every_document(cluster, namespace, tmp_path, folder):
    documents = list(manifests(folder))
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    done = cluster.call("kubectl", "--namespace", namespace, "apply", "--dry-run=server", "-f", file)
    assert done.returncode == 0, done.stderr
    names = [f"{d['kind'].lower()}.toolorch.dev/{d['metadata']['name']} created (server dry run)" for d in documents]
    assert sorted(done.stdout.splitlines()) == sorted(names)
    assert cluster.get("modelpools", namespace=namespace) == cluster.get("evalruns", namespace=namespace) == []
