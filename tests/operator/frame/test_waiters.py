"""Which pools wait for what another pool holds: a change wakes those that it may help, and no more."""

from __future__ import annotations

import pytest

from toolorch_operator.owner import Key
from toolorch_operator.waiters import ROOM, Waiters


def key(name, namespace="evals"):
    return Key("ModelPool", namespace, name)


def pool(*instances, reason=""):
    listed = [{"name": f"r{n}", "node": node, "state": state} for n, (node, state) in enumerate(instances)]
    return {"status": {"reason": reason, "instances": listed}}


GIVER = pool(("a", "Starting"))
ON_A = pool(("a", "WaitingForSlot"), reason="WaitingForSlot")
ON_B = pool(("b", "WaitingForSlot"), reason="WaitingForSlot")
NOWHERE = pool(("", "Pending"), reason="WaitingForSlot")
NO_ROOM = pool(("", "Pending"), reason="InsufficientGPU")
OVER_QUOTA = pool(reason="QuotaExceeded")
FETCHES = pool(reason="FetchingModel")


@pytest.mark.parametrize(
    ("after", "waiter", "helps"),
    [
        pytest.param(pool(("a", "NotUseful")), ON_A, True, id="a start that is over helps who waits on its node"),
        pytest.param(pool(("a", "NotUseful")), ON_B, False, id="a start that is over helps nobody on another node"),
        pytest.param(pool(("b", "Starting")), ON_B, True, id="a replica that moves concerns its new node"),
        pytest.param(pool(("b", "Starting")), ON_A, True, id="a replica that moves concerns the node that it leaves"),
        pytest.param(pool(("a", "NotUseful")), NOWHERE, True, id="a waiter without a node is helped by any"),
        pytest.param(pool(("a", "Ready")), NO_ROOM, False, id="a replica that becomes ready keeps its room"),
        pytest.param(pool(("a", "Draining")), NO_ROOM, True, id="a replica that drains gives up its room"),
        pytest.param(pool(), OVER_QUOTA, True, id="a replica that is gone gives up its quota"),
        pytest.param({}, NO_ROOM, True, id="a pool that is gone gives up its room"),
        pytest.param({}, ON_A, True, id="a pool that is gone gives up its slots"),
        pytest.param(pool(("a", "Ready")), FETCHES, True, id="a fetch may be another's"),
        pytest.param(GIVER, ON_A, False, id="a status that says the same again helps nobody"),
        pytest.param(pool(("a", "Ready")), pool(("a", "Ready")), False, id="who waits for nothing is left alone"),
    ],
)
def test_whom_a_change_helps(after, waiter, helps):
    waiters = Waiters()
    waiters.take(key("giver"), GIVER)
    waiters.take(key("waiter"), waiter)
    assert waiters.take(key("giver"), after) == ({key("waiter")} if helps else set())


def test_a_fetch_of_another_namespace_is_no_ones_own():
    waiters = Waiters()
    waiters.take(key("waiter", "elsewhere"), FETCHES)
    assert waiters.take(key("giver"), GIVER) == set()


def test_who_no_longer_waits_is_not_woken_and_leaves_nothing_behind():
    waiters = Waiters()
    for waits in (NO_ROOM, ON_A):
        waiters.take(key("waiter"), waits)
        waiters.take(key("waiter"), {})
    waiters.take(key("giver"), GIVER)
    assert waiters.take(key("giver"), {}) == set()
    assert waiters.of(ROOM) == set()
    assert all(not kept for kept in vars(waiters).values())


def test_of_a_thousand_pools_that_start_each_wakes_only_those_on_its_own_node():
    waiters = Waiters()
    for number in range(1000):
        waiters.take(key(f"p{number}"), pool((f"n{number // 2}", "WaitingForSlot"), reason="WaitingForSlot"))
    woken = [waiters.take(key(f"p{n}"), pool((f"n{n // 2}", "Starting"))) for n in range(0, 1000, 2)]
    assert woken == [{key(f"p{n + 1}")} for n in range(0, 1000, 2)]
