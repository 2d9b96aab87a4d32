"""Leases and idling: who uses a pool, and when one that nobody uses goes to sleep."""

from datetime import UTC, datetime, timedelta

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Lease
from toolorch_operator.modelpool.leases import Use, find_leases, judge_idle
from toolorch_operator.modelpool.observed import RunUse

NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def ago(seconds):
    return NOON - timedelta(seconds=seconds)


def pool(status=None, created=None, **spec):
    return ModelPool.model_validate(
        {
            "metadata": {"name": "orchestrator", "creationTimestamp": created},
            "kind": "ModelPool",
            "spec": {"model": "m", "replicas": 2, "idleAfterSeconds": 1800, **spec},
            "status": status or {},
        }
    )


def seen(idle_since=None):
    return {"observedGeneration": 1, "idleSince": idle_since}


def test_a_lease_keeps_its_time_ends_with_its_run_and_the_oldest_is_first():
    before = [Lease(run="kept", since=ago(50)), Lease(run="ended", since=ago(99))]
    runs = [RunUse("new", ago(10)), RunUse("kept", ago(60)), RunUse("a", ago(10))]
    assert [(x.run, x.since) for x in find_leases(before, runs)] == [
        ("kept", ago(50)),
        ("a", ago(10)),
        ("new", ago(10)),
    ]


def test_a_later_run_of_the_same_name_has_a_lease_of_its_own():
    assert find_leases([Lease(run="r", since=ago(90))], [RunUse("r", ago(5))]) == [Lease(run="r", since=ago(5))]


def test_of_too_many_leases_the_oldest_are_shown():
    leases = find_leases([], [RunUse(f"run-{n}", ago(n)) for n in range(100)])
    assert [leases[0].run, leases[-1].run, len(leases)] == ["run-99", "run-36", 64]


IDLE = "no run has used it for 30 min (idleAfterSeconds 1800); it starts again with the next run"


@pytest.mark.parametrize(
    ("of", "use"),
    [
        pytest.param(pool(), Use(2, NOON, timedelta(seconds=1800)), id="a pool of unknown age counts from now"),
        pytest.param(
            pool(created=ago(600)), Use(2, ago(600), timedelta(seconds=1200)), id="a new pool counts from its creation"
        ),
        pytest.param(
            pool(seen(), created=ago(9999)),
            Use(2, NOON, timedelta(seconds=1800)),
            id="a pool that was used till now counts from now",
        ),
        pytest.param(pool(seen(ago(1799))), Use(2, ago(1799), timedelta(seconds=1)), id="a second is left"),
        pytest.param(pool(seen(ago(1800))), Use(0, ago(1800), None, IDLE), id="the time is over"),
        pytest.param(pool(seen(ago(9000)), idleAfterSeconds=0), Use(2), id="without idleAfterSeconds it never idles"),
        pytest.param(pool(seen(ago(9000)), replicas=0), Use(0), id="scaled to zero is not idle"),
        pytest.param(
            pool(seen(ago(9000)), engine="external", replicas=1, external={"baseURL": "https://api.example.com/v1"}),
            Use(1),
            id="an external server never idles",
        ),
    ],
)
def test_whether_an_unused_pool_sleeps(of, use):
    assert judge_idle(of, [], NOON) == use
    assert use.is_idle is bool(use.message)


def test_a_lease_wakes_a_pool_that_sleeps():
    assert judge_idle(pool(seen(ago(9000))), [Lease(run="r", since=NOON)], NOON) == Use(2)


@pytest.mark.parametrize(("seconds", "words"), [(90, "for 90 s ("), (120, "for 2 min ("), (7200, "for 2 h (")])
def test_the_time_is_told_in_the_largest_unit_that_is_exact(seconds, words):
    assert words in judge_idle(pool(seen(ago(9000)), idleAfterSeconds=seconds), [], NOON).message


def test_the_story_of_a_pool_from_its_creation_over_a_run_to_sleep_and_back():
    status, told = {}, []
    for minute, leases in enumerate([[], [], ["run"], ["run"], [], [], [], [], ["run"]]):
        now = NOON + timedelta(minutes=minute)
        use = judge_idle(pool(status, NOON, idleAfterSeconds=120), [Lease(run=r, since=NOON) for r in leases], now)
        status = seen(use.idle_since)
        told.append((use.wanted_replicas, use.is_idle))
    awake, asleep = (2, False), (0, True)
    assert told == [awake] * 6 + [asleep] * 2 + [awake]
