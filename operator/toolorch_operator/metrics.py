"""Every Prometheus metric of the operator, declared once. EDGE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from toolorch_api.modelpool import KIND
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolCondition
from toolorch_operator.owner import Key

# A reconcile is some ten requests of a few milliseconds; a full audit of a large run takes up to a minute.
_RECONCILE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
# A small model from a warm cache is up in half a minute; the largest take the start timeout's half hour, or more.
_START_BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
_SLOT_STATES = {InstanceState.STARTING: "held", InstanceState.WAITING_FOR_SLOT: "waiting"}


class Metrics:
    """The metrics of one operator; each instance has a registry of its own, so that tests share nothing."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.reconcile = Histogram(
            "toolorch_reconcile_seconds", "Duration of reconciles.", ["kind"], registry=r, buckets=_RECONCILE_BUCKETS
        )
        self.errors = Counter("toolorch_reconcile_errors_total", "Failed reconciles.", ["kind", "reason"], registry=r)
        self.writes = Counter("toolorch_writes_total", "Writes to the cluster.", ["kind", "what"], registry=r)
        self.leader = Gauge("toolorch_leader", "1 where this operator leads, 0 where it stands by.", registry=r)
        self.queue_depth = Gauge("toolorch_queue_depth", "Keys that wait, due or not.", registry=r)
        self.queue_lag = Gauge("toolorch_queue_lag_seconds", "Seconds that the oldest key is overdue.", registry=r)
        self.api = Counter(
            "toolorch_api_requests_total", "Requests to the API server.", ["verb", "resource", "code"], registry=r
        )
        self.storage = Counter(
            "toolorch_storage_requests_total", "Requests to object storage.", ["operation", "outcome"], registry=r
        )
        labels = ["kind", "namespace", "name"]
        self.condition = Gauge(
            "toolorch_condition", "1 where a condition is True, else 0.", [*labels, "type"], registry=r
        )
        self.replicas = Gauge("toolorch_pool_replicas", "Replicas of a pool.", [*labels, "state"], registry=r)
        self.units = Gauge("toolorch_run_units", "Units of a run.", [*labels, "outcome"], registry=r)
        self._pools = PoolMetrics(r)

    def time_reconcile(self, kind: str) -> AbstractContextManager[object]:
        """Return a context whose duration counts as one reconcile."""
        return self.reconcile.labels(kind).time()

    def count_error(self, kind: str, reason: str) -> None:
        """Count a failed reconcile."""
        self.errors.labels(kind, reason).inc()

    def count_write(self, kind: str, what: str) -> None:
        """Count a write on behalf of a kind; `what` is apply, create, delete, status, event or blob."""
        self.writes.labels(kind, what).inc()

    def count_api(self, verb: str, resource: str, code: int | str) -> None:
        """Count a request to the API server; `code` is the HTTP status, or the name of what broke."""
        self.api.labels(verb, resource, str(code)).inc()

    def count_storage(self, operation: str, outcome: str, requests: int = 1) -> None:
        """Count requests to object storage: a listing is one per page."""
        self.storage.labels(operation, outcome).inc(requests)

    def show_status(self, key: Key, status: Mapping[str, Any]) -> None:
        """Show an object's conditions, replicas and units as its status says them."""
        labels = (key.kind, key.namespace, key.name)
        for condition in status.get("conditions") or ():
            self.condition.labels(*labels, condition["type"]).set(condition["status"] == "True")
        for state in ("replicas", "readyReplicas"):
            if state in status:
                self.replicas.labels(*labels, state).set(status[state])
        for outcome, count in (status.get("units") or {}).items():
            self.units.labels(*labels, outcome).set(count)
        if key.kind == KIND:
            self._pools.show_slots(key, status)

    def show_transition(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime) -> None:
        """Count what a pool went through, by its status before and after a look at it; a run's is in its own gauges."""
        if key.kind == KIND:
            self._pools.show_transition(key, before, after, now)

    def forget(self, key: Key) -> None:
        """Show an object no more: it is gone."""
        for gauge in (self.condition, self.replicas, self.units):
            gauge.remove_by_labels({"kind": key.kind, "namespace": key.namespace, "name": key.name})
        if key.kind == KIND:
            self._pools.forget(key)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class PoolMetrics:
    """What pools go through, counted where their status changes: a restart of the operator counts nothing twice."""

    def __init__(self, r: CollectorRegistry) -> None:
        own = ["namespace", "name"]
        self._remediations = Counter(
            "toolorch_pool_remediations_total",
            "Changes of settings after crashes.",
            [*own, "signature", "field"],
            registry=r,
        )
        self._starts = Histogram(
            "toolorch_pool_start_seconds", "Seconds from a replica's start until it is ready.", own, registry=r,
            buckets=_START_BUCKETS,
        )  # fmt: skip
        self._unready = Counter(
            "toolorch_pool_unready_seconds_total", "Seconds in which no wanted replica was ready.", own, registry=r
        )
        self._failures = {
            PoolCondition.PLACED: Counter(
                "toolorch_placement_failures_total", "Times that a replica found no node.", [*own, "reason"], registry=r
            ),
            PoolCondition.PREFLIGHT_PASSED: Counter(
                "toolorch_preflight_failures_total",
                "Times that a server failed its preflight.",
                [*own, "reason"],
                registry=r,
            ),
        }
        self._slots = Gauge("toolorch_start_slots", "Replicas that start or wait to.", ["node", "state"], registry=r)
        self._slots_of: dict[Key, dict[tuple[str, str], int]] = {}
        self._unready_since: dict[Key, datetime] = {}

    def show_slots(self, key: Key, status: Mapping[str, Any]) -> None:
        """Show how many replicas of all pools start on each node, and how many wait for a slot there."""
        instances = status.get("instances") or ()
        counts = {(i.get("node", ""), state): 0 for i in instances for state in _SLOT_STATES.values()}
        for instance in instances:
            if (state := _SLOT_STATES.get(instance["state"])) is not None:
                counts[instance.get("node", ""), state] += 1
        before = self._slots_of.pop(key, {})
        if counts:
            self._slots_of[key] = counts
        for labels in sorted({labels for labels, _ in before.items() ^ counts.items()}):
            self._sum_up(*labels)

    def _sum_up(self, node: str, state: str) -> None:
        counts = [of[node, state] for of in self._slots_of.values() if (node, state) in of]
        if counts:
            self._slots.labels(node, state).set(sum(counts))
        else:
            self._slots.remove_by_labels({"node": node, "state": state})

    def show_transition(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any], now: datetime) -> None:
        """Count what lies between two statuses of a pool, and the time since the last look."""
        own = (key.namespace, key.name)
        known = before.get("remediations") or ()
        for record in (r for r in after.get("remediations") or () if r not in known):
            self._remediations.labels(*own, record["signature"], record["field"]).inc()
        for seconds in _find_starts(before, after):
            self._starts.labels(*own).observe(seconds)
        for type_, reason in _find_failures(after) - _find_failures(before):
            self._failures[type_].labels(*own, reason).inc()
        self._count_unready(key, after, now)

    def _count_unready(self, key: Key, status: Mapping[str, Any], now: datetime) -> None:
        since = self._unready_since.pop(key, now)
        # A clock that is set back must not raise: counters only grow.
        self._unready.labels(key.namespace, key.name).inc(max(0.0, (now - since).total_seconds()))
        if status.get("replicas", 0) > 0 and status.get("readyReplicas", 0) == 0:
            self._unready_since[key] = now

    def forget(self, key: Key) -> None:
        """Show a pool no more: it is gone."""
        for metric in (self._remediations, self._starts, self._unready, *self._failures.values()):
            metric.remove_by_labels({"namespace": key.namespace, "name": key.name})
        self._unready_since.pop(key, None)
        self.show_slots(key, {})


def _find_starts(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[float]:
    """Yield for each replica that has become ready how many seconds it was starting."""
    starting = {i["name"]: i for i in before.get("instances") or () if i["state"] == InstanceState.STARTING}
    for ready in after.get("instances") or ():
        started = starting.get(ready["name"], {}).get("since")
        if started and ready["state"] == InstanceState.READY and ready.get("since"):
            yield max(0.0, (datetime.fromisoformat(ready["since"]) - datetime.fromisoformat(started)).total_seconds())


def _find_failures(status: Mapping[str, Any]) -> set[tuple[PoolCondition, str]]:
    counted = (PoolCondition.PLACED, PoolCondition.PREFLIGHT_PASSED)
    failed = {c["type"]: c["reason"] for c in status.get("conditions") or () if c["status"] == "False"}
    return {(type_, failed[type_]) for type_ in counted if type_ in failed}
