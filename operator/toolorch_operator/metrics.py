"""Every Prometheus metric of the operator, declared once. EDGE."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from toolorch_operator.owner import Key

# A reconcile is some ten requests of a few milliseconds; a full audit of a large run takes up to a minute.
_RECONCILE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """The metrics of one operator; each instance has a registry of its own, so that tests share nothing."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.reconcile = Histogram(
            "toolorch_reconcile_seconds", "Duration of reconciles.", ["kind"], registry=r, buckets=_RECONCILE_BUCKETS
        )
        self.errors = Counter("toolorch_reconcile_errors_total", "Failed reconciles.", ["kind", "reason"], registry=r)
        self.writes = Counter("toolorch_writes_total", "Writes to the cluster.", ["kind", "what"], registry=r)
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

    def count_storage(self, operation: str, outcome: str) -> None:
        """Count a request to object storage."""
        self.storage.labels(operation, outcome).inc()

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

    def forget(self, key: Key) -> None:
        """Show an object no more: it is gone."""
        for gauge in (self.condition, self.replicas, self.units):
            gauge.remove_by_labels({"kind": key.kind, "namespace": key.namespace, "name": key.name})

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
