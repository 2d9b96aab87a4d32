"""Every fault that the proxy can make, before an API server of a few lines: what the client gets, and what was done."""

import asyncio

import pytest
from aiohttp import ClientError
from fault_plan import Fault, FaultPlan, Triggers, When, load_plan
from small_watch import SmallWatch

PODS = "/api/v1/namespaces/plan/pods"
WATCH = f"{PODS}?watch=true&resourceVersion=100"
ONE = {"metadata": {"name": "one"}, "spec": 1}
MOMENT = 0.05
"""Seconds that a fault lasts here, and a client waits to see that nothing comes."""


def before(action, signature="write *", **arguments):
    return Fault(When(signature), "before", action, arguments)


def after(action, signature="write *", **arguments):
    return Fault(When(signature, effective=True), "after", action, arguments)


def line(action, signature="ADDED pods/two", **arguments):
    return Fault(When(signature), "line", action, arguments)


async def read(session, path="/api/v1/pods"):
    async with session.get(path) as answer:
        return [item["metadata"]["name"] for item in (await answer.json())["items"]]


@pytest.fixture
async def seen():
    """Start watches that end with the test: `seen(session)`."""
    opened = []

    def start(session, path=WATCH):
        opened.append(SmallWatch(session, path))
        return opened[-1]

    yield start
    for each in opened:
        await each.close()


@pytest.mark.parametrize(
    ("fault", "is_done"),
    [
        (before("kill"), False),
        (before("reset"), False),
        (before("hang", seconds=MOMENT), False),
        (after("kill"), True),
        (after("reset"), True),
        (after("hang", seconds=MOMENT), True),
    ],
    ids=lambda value: str(value) if isinstance(value, Fault) else "",
)
async def test_a_request_that_breaks_is_done_only_where_it_breaks_after(proxied, small_api, fault, is_done):
    kills = []
    proxy, session = await proxied(fault, kill=lambda: kills.append(1))
    with pytest.raises(ClientError):
        await session.post(PODS, json=ONE)
    assert (f"{PODS}/one" in small_api.objects) is is_done
    assert kills == [1] * (fault.action == "kill")
    assert [(r.status > 0, r.effective, r.fault) for r in proxy.trace.records] == [(is_done, is_done, str(fault))]
    assert proxy.fired == [fault]
    assert await read(session) == ["one"] * is_done


@pytest.mark.parametrize(("fault", "is_done"), [(before("reply", code=429), False), (after("reply", code=504), True)])
async def test_another_answer_is_a_status_of_the_api_server(proxied, small_api, fault, is_done):
    _, session = await proxied(
        Fault(fault.when, fault.hook, "reply", {**fault.arguments, "headers": {"Retry-After": "2"}})
    )
    async with session.post(PODS, json=ONE) as answer:
        said = await answer.json()
    assert (answer.status, said["kind"], said["code"]) == (fault.arguments["code"], "Status", answer.status)
    assert said["reason"] in ("TooManyRequests", "Timeout")
    assert answer.headers["Retry-After"] == "2"
    assert (f"{PODS}/one" in small_api.objects) is is_done


async def test_a_slow_request_is_done_late(proxied, small_api):
    _, session = await proxied(before("slow", seconds=MOMENT))
    posting = asyncio.create_task(session.post(PODS, json=ONE))
    await asyncio.sleep(MOMENT / 2)
    assert not small_api.objects
    assert (await posting).status == 201


async def test_the_nth_effective_write_is_counted_over_all_verbs(proxied, small_api):
    proxy, session = await proxied(Fault(When("write *", occurrence=2, effective=True), "after", "reset"))
    await session.post(PODS, json=ONE)
    await session.patch(f"{PODS}/one", json={"spec": 1})
    with pytest.raises(ClientError):
        await session.patch(f"{PODS}/one", json={"spec": 2})
    assert [r.effective for r in proxy.trace.records] == [True, False, True]


@pytest.mark.parametrize(
    ("fault", "told", "end"),
    [
        (line("drop"), ["one", "three"], ""),
        (line("dup"), ["one", "two", "two", "three"], ""),
        (line("truncate"), ["one"], "broke"),
        (line("cut"), ["one"], "ended"),
        (line("kill"), ["one"], "broke"),
        (line("error", code=410), ["one", 410], "ended"),
        (line("error", code=500), ["one", 500], "ended"),
        (line("hold", seconds=MOMENT), ["one", "two", "three"], ""),
    ],
    ids=str,
)
async def test_what_a_watch_tells_of_three_pods(proxied, small_api, seen, fault, told, end):
    _, session = await proxied(fault)
    watch = seen(session)
    for name in ("one", "two", "three"):
        await small_api.put(f"{PODS}/{name}")
    assert [name for _, name in await watch.until(len(told))] == told
    if end:
        assert await watch.until_end() == end
        assert (watch.lines[-1][-1:] != b"\n") is (
            fault.action == "truncate" and end == "broke" and len(watch.lines) > 1
        )


async def test_a_line_that_is_held_keeps_those_after_it_waiting_until_a_request_was_there(proxied, small_api, seen):
    _, session = await proxied(line("hold", seen="get pods/one"))
    watch = seen(session)
    for name in ("one", "two", "three"):
        await small_api.put(f"{PODS}/{name}")
    await watch.until(1)
    await asyncio.sleep(MOMENT)
    assert len(watch.lines) == 1
    await session.get(f"{PODS}/one")
    assert await watch.until(3) == [("ADDED", "one"), ("ADDED", "two"), ("ADDED", "three")]


@pytest.mark.parametrize(("breaks", "end"), [(False, "ended"), (True, "broke")])
async def test_a_watch_can_be_cut_after_some_time(proxied, seen, breaks, end):
    _, session = await proxied(before("cut", "watch pods", seconds=MOMENT, breaks=breaks))
    assert await seen(session).until_end() == end


async def test_a_watch_can_be_refused_with_410(proxied):
    _, session = await proxied(before("reply", "watch pods", code=410))
    async with session.get(WATCH) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (410, "Expired")


async def test_a_fault_can_happen_again_and_again(proxied):
    _, session = await proxied(Fault(When("list pods", occurrence=2, times=0), "before", "reply", {"code": 500}))
    assert [(await session.get(PODS)).status for _ in range(4)] == [200, 500, 500, 500]


async def test_lists_and_watches_lag_by_some_events_and_catch_up(proxied, small_api, seen):
    stale = Fault(When("list pods", occurrence=2), "list", "stale", {"events": 2, "seconds": 10 * MOMENT, "agent": "*"})
    _, session = await proxied(stale)
    for name in ("one", "two", "three"):
        await small_api.put(f"{PODS}/{name}")
    assert await read(session) == ["one", "two", "three"]
    assert await read(session) == ["one"]
    watch = seen(session, f"{PODS}?watch=true&resourceVersion=101")
    await asyncio.sleep(MOMENT)
    assert watch.lines == []
    async with session.get(f"{PODS}/three") as answer:
        assert answer.status == 200, "reads of one object never lag"
    assert await watch.until(2) == [("ADDED", "two"), ("ADDED", "three")]
    assert await read(session) == ["one", "two", "three"]


async def test_only_lists_of_who_watches_lag_unless_the_plan_says_so(proxied, small_api):
    _, session = await proxied(Fault(When("list pods", occurrence=2), "list", "stale", {"events": 1, "seconds": 5}))
    for name in ("one", "two"):
        await small_api.put(f"{PODS}/{name}")
    await read(session)
    assert await read(session) == ["one", "two"]
    async with session.get(PODS, headers={"User-Agent": "kopf/1.45"}) as answer:
        assert len((await answer.json())["items"]) == 1


async def test_an_operator_that_is_killed_may_find_an_api_server_that_lags(proxied, small_api):
    _, session = await proxied(after("kill", events=1, seconds=5, agent="*"))
    await small_api.put(f"{PODS}/zero")
    assert await read(session) == ["zero"]
    with pytest.raises(ClientError):
        await session.post(PODS, json=ONE)
    assert await read(session) == ["zero"]


def test_a_plan_is_the_same_after_it_was_a_file(tmp_path):
    plan = FaultPlan("one", "run", (before("kill"), line("hold", seconds=3), after("reset")), seed=7, found="a bug")
    assert load_plan(plan.save(tmp_path)) == plan


@pytest.mark.parametrize(("hook", "action"), [("after", "cut"), ("line", "reply"), ("list", "kill"), ("never", "kill")])
def test_a_plan_with_an_action_at_the_wrong_hook_is_refused(hook, action):
    with pytest.raises(ValueError, match=action):
        Fault(When(), hook, action)


def test_only_after_a_write_is_known_whether_it_was_effective():
    with pytest.raises(ValueError, match="nobody knows"):
        Fault(When(effective=True), "before", "kill")


def test_each_fault_counts_for_itself():
    triggers = Triggers(FaultPlan("p", "w", (before("kill", "get *"), before("reset", "get pods/one"))))
    assert [len(triggers.take("before", s)) for s in ("get pods/two", "get pods/one", "get pods/one")] == [1, 1, 0]
