"""A small world for a pool's brain: it keeps children, replaces pods as Deployments do, and lets servers crash."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from toolorch_api.meta import LABEL_INSTANCE
from toolorch_api.modelpool import ModelPool
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.command import parse_utilization
from toolorch_operator.modelpool.instances import instance_names
from toolorch_operator.modelpool.memory.climb import initial_effective
from toolorch_operator.modelpool.objects import build_template
from toolorch_operator.modelpool.observed import ClusterView, ObservedPool, Probe, ServedModel, Verdict
from toolorch_operator.modelpool.plan import plan
from toolorch_operator.modelpool.pods import ANNOTATION_TEMPLATE, parse_pod
from toolorch_operator.modelpool.targets import probe_targets
from toolorch_operator.placement.views import Placement

DEFAULTS = Defaults("vllm/vllm-openai:test", "toolorch/evaluator:test", programs={"launcher.py": "print('launcher')\n"})
NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def make_pool(name="orchestrator", *, generation=1, status=None, uid="pool-uid", **spec):
    return ModelPool.model_validate(
        {
            "apiVersion": "toolorch.dev/v1alpha1",
            "kind": "ModelPool",
            "metadata": {"name": name, "namespace": "evals", "uid": uid, "generation": generation},
            "spec": {"model": "mock/oracle", "servedModelName": name, **spec},
            "status": status or {},
        }
    )


def crash_report(signature, **more):
    return json.dumps({"v": 1, "class": signature, **more})


class PoolWorld:
    """`dies` tells from a server's command which launcher report it ends with (None: it serves)."""

    def __init__(self, dies=lambda command: None, serves=None, places=True, **spec):
        self.pool = make_pool(**spec)
        self.dies = dies
        self.serves = serves or self.pool.spec.served_name
        self.children = {"Deployment": {}, "Service": {}, "ConfigMap": {}}
        self.pods = {}
        self.places = places
        self.verdict = Verdict(True, PoolReason.SERVES_MODEL, "it lists its name")
        self.events = []
        self.plans = []
        self.now = NOON
        self.starts = 0

    def change(self, **spec):
        document = self.pool.model_dump(mode="json", by_alias=True, exclude_none=True)
        document["spec"] |= spec
        document["metadata"]["generation"] += 1
        self.pool = ModelPool.model_validate(document)

    def observe(self, *, probe=True):
        pods = [parse_pod(p) for p in self.pods.values()]
        answer = Probe(True, (ServedModel(self.serves, 4096),), "0.33.0", preflight=self.verdict)
        asked = probe_targets(self.pool, pods) if probe else []
        names = [f"evals/{name}" for name in instance_names(self.pool)]
        nodes = {name: f"node-{i % 2}" for i, name in enumerate(names)}
        return ObservedPool(
            cluster=ClusterView(Placement(assigned=nodes) if self.places else None),
            deployments=self.children["Deployment"],
            services=self.children["Service"],
            config_maps=self.children["ConfigMap"],
            pods=pods,
            probes={t.key: answer for t in asked},
        )

    def reconcile(self):
        self.now += timedelta(seconds=1)
        result = plan(self.pool, self.observe(), self.now, DEFAULTS)
        for ref in result.delete:
            del self.children[ref.kind][ref.name]
        for manifest in result.apply:
            self.children[manifest["kind"]][manifest["metadata"]["name"]] = json.loads(json.dumps(manifest))
        document = self.pool.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.pool = ModelPool.model_validate(document | {"status": result.status})
        self.events += result.events
        self.plans.append(result)
        return result

    def roll(self):
        """Do what Deployments and kubelets do: replace pods of another template, start each, let it die or serve."""
        wanted = {n: d for n, d in self.children["Deployment"].items() if d["spec"]["replicas"]}
        self.pods = {n: p for n, p in self.pods.items() if n in wanted}
        for name, deployment in wanted.items():
            template = deployment["spec"]["template"]
            if name not in self.pods or self.pods[name]["template"] != template:
                self.starts += 1
                self.pods[name] = self._start(template, f"{name}-{self.starts}")

    def restart_in_place(self, name):
        """Do what a kubelet does after its back-off: start the container anew; it ends as before."""
        [live] = self.pods[name]["status"]["containerStatuses"]
        live["restartCount"] += 1

    def _start(self, template, pod_name):
        command = template["spec"]["containers"][0]["command"]
        report = self.dies(command)
        end = {"exitCode": 85, "reason": "Error", "message": report}
        state = {"running": {}} if report is None else {"waiting": {"reason": "CrashLoopBackOff"}}
        last = {} if report is None else {"terminated": end}
        live = {"name": "server", "restartCount": 0, "ready": report is None, "state": state, "lastState": last}
        return {
            "template": template,
            "metadata": {**template["metadata"], "name": pod_name, "uid": pod_name, "creationTimestamp": str(self.now)},
            "spec": {**template["spec"], "nodeName": self._node(template)},
            "status": {"phase": "Running", "podIP": f"10.0.0.{self.starts % 250}", "containerStatuses": [live]},
        }

    def serve_at_once(self):
        """Have a pod that serves for every replica, as an operator finds them that was away while they started."""
        template = build_template(self.pool, initial_effective(self.pool.spec), DEFAULTS)
        for name in instance_names(self.pool):
            labelled = {**template, "metadata": {**template["metadata"], "labels": {LABEL_INSTANCE: name}}}
            self.starts += 1
            self.pods[name] = self._start(labelled, name)

    def _node(self, template):
        choice = template["spec"].get("affinity", {}).get("nodeAffinity", {})
        terms = choice.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
        fields = [f for term in terms for f in term.get("matchFields", ())]
        return fields[0]["values"][0] if fields else f"node-{self.starts % 2}"

    def settle(self, limit=100):
        """Reconcile and roll until nothing changes; return the number of rounds."""
        for rounds in range(limit):
            before = self._snapshot()
            self.reconcile()
            self.roll()
            if before == self._snapshot():
                wait = self.plans[-1].requeue_after
                # Nobody tells that a pause is over but the clock.
                if wait is None or wait >= timedelta(seconds=15):
                    return rounds
                self.now += wait
        raise AssertionError("the pool never settles")

    def _snapshot(self):
        return self.pool.status, json.dumps([self.children, self.pods])

    def condition(self, type_):
        return next(c for c in self.pool.status.conditions if c.type == type_)

    def reasons(self):
        return [e.reason for e in self.events]


def dies_above(percent, signature="CAPTURE_OOM"):
    def dies(command):
        return crash_report(signature, phase="P3") if parse_utilization(command) > percent else None

    return dies


@pytest.fixture(scope="session")
def world():
    return PoolWorld


@pytest.fixture(scope="session")
def template_of():
    """Return the annotation by which pods of a pool's present template are known."""
    return lambda pool: build_template(pool, initial_effective(pool.spec), DEFAULTS)["metadata"]["annotations"][
        ANNOTATION_TEMPLATE
    ]


@pytest.fixture(scope="session")
def pool_of():
    return make_pool


@pytest.fixture(scope="session")
def oom_above():
    return dies_above


@pytest.fixture(scope="session")
def report_of():
    return crash_report


@pytest.fixture(scope="session")
def defaults():
    return DEFAULTS


@pytest.fixture(scope="session")
def noon():
    return NOON
