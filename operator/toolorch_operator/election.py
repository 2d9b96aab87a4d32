"""Who leads, by a Lease of the API server: when it may be claimed, and what a claim writes. PURE.

No two clocks are compared: a lease is over when its record has stood still, under the looker's own eyes, for as long as
it was given. The times in the record are for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from toolorch_operator.resources import LEASES

LEASE_SECONDS = 15
"""Seconds without a renewal after which another may lead; client-go's own number, as are the next two."""
LEAD_SECONDS = 10.0
"""Seconds after the start of its last renewal for which a leader leads: it has ended well before the lease has."""
RETRY_SECONDS = 2.0
"""Seconds between two renewals, and between two looks of one who waits."""
RELEASED_SECONDS = 1
"""What a lease is given that nobody holds: its kind takes no 0."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a Lease's record was when it was last seen, and since when by the clock of who looked, in seconds."""

    record: Manifest = field(default_factory=dict)
    since: float = 0.0

    @property
    def holder(self) -> str:
        """Who holds the lease, empty: nobody."""
        return str(self.record.get("holderIdentity") or "")


def look(before: Sight, lease: Manifest | None, now: float) -> Sight:
    """Return the sight of a Lease as it was just read; one that was deleted is held as it was."""
    if lease is None:
        return before
    record = lease.get("spec") or {}
    return before if record == before.record else Sight(record, now)


def free_in(sight: Sight, identity: str, now: float) -> float:
    """Return the seconds until one may claim the lease, by the clock of the sight; 0: now."""
    if sight.holder in ("", identity):
        return 0.0
    return max(0.0, sight.since + float(sight.record.get("leaseDurationSeconds") or LEASE_SECONDS) - now)


def build_claim(lease: Manifest | None, namespace: str, name: str, identity: str, now: datetime) -> dict[str, Any]:
    """Return the Lease as held by one from now on: a renewal where it is theirs, else a new term."""
    before = (lease or {}).get("spec") or {}
    renewed = {"holderIdentity": identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": _micro_time(now)}
    if before.get("holderIdentity") == identity:
        return _with_record(lease, namespace, name, {**before, **renewed})
    terms = 0 if lease is None else int(before.get("leaseTransitions") or 0) + 1
    return _with_record(lease, namespace, name, {**renewed, "acquireTime": _micro_time(now), "leaseTransitions": terms})


def build_release(lease: Manifest, now: datetime) -> dict[str, Any]:
    """Return the Lease as nobody's, for the next to claim at once."""
    free = {"holderIdentity": "", "leaseDurationSeconds": RELEASED_SECONDS, "renewTime": _micro_time(now)}
    return {**lease, "spec": {**(lease.get("spec") or {}), **free}}


def _with_record(lease: Manifest | None, namespace: str, name: str, record: Manifest) -> dict[str, Any]:
    new = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": {"name": name, "namespace": namespace}}
    return {**(new if lease is None else lease), "spec": record}


def _micro_time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
