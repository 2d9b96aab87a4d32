"""One candidate against an API server that answers, refuses, hangs or forgets: when it leads, and when no longer."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from toolorch_operator.elector import Alone
from toolorch_operator.errors import Denied, NotLeading
from toolorch_operator.metrics import Metrics


async def lead(stage, server=None):
    """Return the server and a candidate that has just become the leader, and its renewals."""
    server = server or stage.server()
    made = stage.candidate(server, "a")
    await made.elector.acquire()
    return server, made, asyncio.create_task(made.elector.hold())


def now():
    return asyncio.get_running_loop().time()


def may_write(candidate):
    try:
        candidate.elector.check()
    except NotLeading:
        return False
    return True


def test_who_finds_no_lease_leads_at_once_and_renews_it_every_two_seconds(stage):
    async def scene():
        server, made, _ = await lead(stage)
        assert now() - stage.start < 0.1
        await asyncio.sleep(60)
        assert may_write(made)
        assert made.leads() == 1
        assert server.record["leaseTransitions"] == 0
        assert made.line.asked == pytest.approx(32, abs=2), "a renewal is one request"

    stage.play(scene())


def test_nobody_may_write_before_they_lead(stage):
    async def scene():
        server, _, _ = await lead(stage)
        second = stage.candidate(server, "b")
        waiting = asyncio.create_task(second.elector.acquire())
        assert not second.elector.has_looked
        await asyncio.sleep(300)
        assert not waiting.done()
        assert second.elector.has_looked
        assert not may_write(second)
        assert second.line.asked == pytest.approx(150, abs=3), "a look is one request each two seconds"

    stage.play(scene())


def test_of_many_who_ask_at_once_one_leads(stage):
    async def scene():
        server = stage.server()
        all_ = [stage.candidate(server, name) for name in "abcde"]
        for one in all_:
            asyncio.create_task(one.elector.acquire())  # noqa: RUF006 - the loop ends them
        await asyncio.sleep(1)
        assert sum(map(may_write, all_)) == 1

    stage.play(scene())


@pytest.mark.parametrize(
    ("state", "outage", "leads"),
    [
        pytest.param("broken", 5, True, id="answers 500 for less than the time"),
        pytest.param("broken", 12, False, id="answers 500 for longer"),
        pytest.param("hung", 2, True, id="hangs, and answers the second try"),
        pytest.param("hung", 12, False, id="hangs for longer"),
        pytest.param("deaf", 2, True, id="does what it is asked, and never answers"),
        pytest.param("deaf", 12, False, id="never answers for longer"),
    ],
)
def test_a_leader_lives_through_an_api_server_that(stage, state, outage, leads):
    async def scene():
        server, made, holding = await lead(stage)
        await asyncio.sleep(9.9)
        made.line.state = state
        await asyncio.sleep(outage)
        made.line.state = "up"
        await asyncio.sleep(6)
        assert (may_write(made), not holding.done(), made.leads()) == (leads, leads, leads)
        if leads:
            assert server.record["leaseTransitions"] == 0

    stage.play(scene())


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        pytest.param("hung", 20, id="hung"),
        pytest.param("broken", 20, id="broken"),
        # Its renewals still arrive: the lease is over later than for the others.
        pytest.param("deaf", 27, id="deaf"),
    ],
)
def test_whom_nobody_answers_stops_in_time_for_another_to_lead(stage, state, seconds):
    async def scene():
        server, made, holding = await lead(stage)
        second = stage.candidate(server, "b")
        waiting = asyncio.create_task(second.elector.acquire())
        await asyncio.sleep(31)
        cut = now()
        made.line.state = state
        await holding
        assert now() - cut <= 10
        assert not may_write(made)
        await waiting
        assert 10 < now() - cut < seconds

    stage.play(scene())


def test_who_was_asleep_may_write_nothing_when_it_wakes(stage):
    async def scene():
        _, made, holding = await lead(stage)
        await asyncio.sleep(5)
        made.skew = 30
        assert not may_write(made)
        asked = made.line.asked
        await holding
        assert made.line.asked == asked, "it does not even ask for the lease"

    stage.play(scene())


@pytest.mark.parametrize("holder", ["b", ""], ids=["another", "nobody"])
def test_who_is_no_longer_named_leads_no_more_even_where_the_lease_is_free(stage, holder):
    async def scene():
        server, made, holding = await lead(stage)
        await asyncio.sleep(5)
        server.edit_lease(holderIdentity=holder, leaseDurationSeconds=1)
        edited = now()
        await holding
        assert now() - edited <= 2.1
        assert not may_write(made)
        assert server.record["holderIdentity"] == holder

    stage.play(scene())


def test_an_edit_of_something_else_takes_nothing_from_the_leader(stage):
    async def scene():
        server, made, holding = await lead(stage)
        server.edit_lease(preferredHolder="c")
        await asyncio.sleep(30)
        assert not holding.done()
        assert may_write(made)
        assert server.record["preferredHolder"] == "c"

    stage.play(scene())


def test_a_deleted_lease_is_made_again_by_its_holder(stage):
    async def scene():
        server, made, holding = await lead(stage)
        second = stage.candidate(server, "b")
        waiting = asyncio.create_task(second.elector.acquire())
        await asyncio.sleep(9)
        server.objects.clear()
        await asyncio.sleep(30)
        assert (holding.done(), waiting.done(), may_write(made)) == (False, False, True)
        assert server.record["holderIdentity"] == "a"

    stage.play(scene())


def test_a_container_that_starts_again_goes_on_with_its_pods_lease(stage):
    async def scene():
        server, _, holding = await lead(stage)
        holding.cancel()
        again = now()
        await lead(stage, server)
        assert now() - again < 0.1
        assert server.record["leaseTransitions"] == 0

    stage.play(scene())


def test_a_lease_that_is_laid_down_is_taken_at_the_next_look(stage):
    async def scene():
        server, made, holding = await lead(stage)
        second = stage.candidate(server, "b")
        waiting = asyncio.create_task(second.elector.acquire())
        await asyncio.sleep(9)
        holding.cancel()
        await made.elector.release()
        released = now()
        assert not may_write(made)
        assert made.leads() == 0
        await waiting
        assert now() - released < 2.1
        assert server.record["holderIdentity"] == "b"

    stage.play(scene())


def test_a_renewal_on_its_way_does_not_keep_the_lease_from_being_laid_down(stage):
    async def scene():
        server, made, holding = await lead(stage)
        releasing = asyncio.create_task(made.elector.release())
        await asyncio.sleep(1.5 * stage.latency)
        server.edit_lease(renewTime="2026-01-01T00:00:00.000001Z")
        await releasing
        assert server.record["holderIdentity"] == ""
        holding.cancel()

    stage.play(scene())


def test_who_does_not_lead_lays_nothing_down(stage):
    async def scene():
        server, _, _ = await lead(stage)
        await stage.candidate(server, "b").elector.release()
        assert server.record["holderIdentity"] == "a"

    stage.play(scene())


@pytest.mark.parametrize("state", ["hung", "broken"])
def test_a_lease_that_cannot_be_laid_down_holds_up_nobody_for_long(stage, state):
    async def scene():
        _, made, holding = await lead(stage)
        holding.cancel()
        made.line.state = state
        before = now()
        await made.elector.release()
        assert now() - before <= 5
        assert not may_write(made)

    stage.play(scene())


def test_what_keeps_the_lease_out_of_reach_is_said_once(stage):
    async def scene():
        made = stage.candidate(stage.server(), "a")

        async def refuse(*_):
            raise Denied("get leases: 403 may not")

        made.line.get = refuse
        with capture_logs() as logs:
            task = asyncio.create_task(made.elector.acquire())
            await asyncio.sleep(60)
        assert [line["error"] for line in logs] == ["get leases: 403 may not"]
        assert not made.elector.has_looked, "it is not ready: it could not take over"
        task.cancel()

    stage.play(scene())


def test_without_an_election_it_leads_from_the_first_moment(stage):
    async def scene():
        metrics = Metrics()
        alone = Alone(metrics)
        alone.check()
        await alone.acquire()
        assert metrics.registry.get_sample_value("toolorch_leader") == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(alone.hold(), 3600)
        await alone.release()

    stage.play(scene())
