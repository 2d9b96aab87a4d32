"""When a lease may be claimed, and what a claim and a release write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from toolorch_operator.election import (
    LEAD_SECONDS,
    LEASE_SECONDS,
    RETRY_SECONDS,
    Sight,
    build_claim,
    build_release,
    free_in,
    look,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=UTC)
TEXT = "2026-01-02T03:04:05.000600Z"
LONG_AGO = "2020-01-01T00:00:00.000000Z"
AHEAD = "2099-01-01T00:00:00.000000Z"


def lease(holder, renewed=LONG_AGO, seconds=15, **more):
    record = {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": renewed, **more}
    return {"kind": "Lease", "metadata": {"name": "toolorch", "resourceVersion": "7"}, "spec": record}


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        pytest.param([], 100, 0, id="there is no lease"),
        pytest.param([(90, lease("me"))], 91, 0, id="it is its own, of an earlier life"),
        pytest.param([(90, lease(""))], 91, 0, id="it was laid down"),
        pytest.param([(90, lease("other"))], 91, 14, id="it is another's, however old its time says it is"),
        pytest.param([(90, lease("other", AHEAD))], 106, 0, id="it stood still for its time, which is ahead"),
        pytest.param([(90, lease("other", seconds=60))], 106, 44, id="it was given for longer"),
        pytest.param([(90, lease("other")), (104, lease("other"))], 104, 1, id="it was not renewed"),
        pytest.param([(90, lease("other")), (104, lease("other", TEXT))], 104, 15, id="it was renewed"),
        pytest.param([(90, lease("other")), (95, None)], 96, 9, id="it was deleted, and its holder may not know"),
        pytest.param([(90, lease("other")), (95, None)], 105, 0, id="it was deleted, and its holder's time is over"),
        pytest.param([(90, {"metadata": {}})], 91, 0, id="it says nothing"),
        pytest.param([(90, {"spec": {"holderIdentity": "other"}})], 91, 14, id="it does not say for how long"),
    ],
)
def test_a_lease_is_free_when_it_has_stood_still_for_its_time(seen, now, expected):
    sight = Sight()
    for at, found in seen:
        sight = look(sight, found, at)
    assert free_in(sight, "me", now) == expected


def test_the_first_claim_makes_the_lease():
    assert build_claim(None, "ns", "toolorch", "me", NOW) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "toolorch", "namespace": "ns"},
        "spec": {
            "holderIdentity": "me", "leaseDurationSeconds": 15, "acquireTime": TEXT, "renewTime": TEXT,
            "leaseTransitions": 0,
        },
    }  # fmt: skip


def test_a_renewal_changes_the_time_alone_under_the_version_that_was_read():
    held = lease("me", acquireTime=LONG_AGO, leaseTransitions=3)
    assert build_claim(held, "ns", "toolorch", "me", NOW) == {**held, "spec": {**held["spec"], "renewTime": TEXT}}


@pytest.mark.parametrize("before", ["other", ""])
def test_a_new_term_is_counted(before):
    taken = build_claim(lease(before, acquireTime=LONG_AGO, leaseTransitions=3), "ns", "toolorch", "me", NOW)
    assert (taken["spec"]["leaseTransitions"], taken["spec"]["acquireTime"]) == (4, TEXT)
    assert taken["spec"]["holderIdentity"] == "me"
    assert taken["metadata"]["resourceVersion"] == "7"


def test_a_lease_that_was_laid_down_is_free_for_all():
    free_again = build_release(lease("me", leaseTransitions=3), NOW)
    assert free_again["spec"]["leaseTransitions"] == 3
    assert free_again["metadata"]["resourceVersion"] == "7"
    assert free_in(look(Sight(), free_again, 90), "other", 90) == 0


def test_a_leader_has_stopped_for_two_tries_before_its_lease_is_over():
    assert LEAD_SECONDS + 2 * RETRY_SECONDS < LEASE_SECONDS
    assert LEASE_SECONDS + 2 * RETRY_SECONDS < 20, "who waits leads within twenty seconds"
