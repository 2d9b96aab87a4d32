"""Start slots: tables of who may start, and laws over histories at random: never too many, nobody starves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_api.modelpool_status import InstanceState
from toolorch_operator.modelpool.observed import StartView
from toolorch_operator.modelpool.slots import describe_wait, grant, is_settling, next_grant, without_nodes

NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
WAITING, STARTING, CRASHED = InstanceState.WAITING_FOR_SLOT, InstanceState.STARTING, InstanceState.CRASHED
READY, PENDING, DRAINING = InstanceState.READY, InstanceState.PENDING, InstanceState.DRAINING


def view(name, state, since=0, node="node-a", limit=1, settle=5):
    """A replica that came into its state so many seconds before noon."""
    time = None if since is None else NOON - timedelta(seconds=since)
    return StartView(f"evals/{name}", node, state, time, limit, settle)


def waits(name, since=0, **more):
    return view(name, WAITING, since, **more)


def starts(name, since=0, **more):
    return view(name, STARTING, since, **more)


def crashed(name, since=0, **more):
    return view(name, CRASHED, since, **more)


def granted(*views):
    return {name.removeprefix("evals/") for name in grant(views, NOON)}


@pytest.mark.parametrize(
    ("views", "may"),
    [
        pytest.param([], set(), id="nobody wants anything"),
        pytest.param([waits("a")], {"a"}, id="a lone one may start"),
        pytest.param([waits("b", 1), waits("a")], {"b"}, id="who came first is first"),
        pytest.param([waits("b"), waits("a")], {"a"}, id="the name decides between those who came together"),
        pytest.param([waits("b", None), waits("c", 1)], {"c"}, id="one without a time has only just come"),
        pytest.param([starts("a"), waits("b", 9)], {"a"}, id="a starting one holds the slot"),
        pytest.param([view("a", s) for s in (READY, DRAINING, PENDING)], set(), id="others neither hold nor want one"),
        pytest.param([view("a", READY), view("b", PENDING), waits("c")], {"c"}, id="others hold no slot"),
        pytest.param([waits("a"), waits("b", node="node-b")], {"a", "b"}, id="each node has slots of its own"),
        pytest.param([crashed("a", 4), waits("b")], set(), id="a crashed one holds the slot while it settles"),
        pytest.param([crashed("a", 5), waits("b")], {"a"}, id="a settled one starts again in its turn"),
        pytest.param([crashed("a", 5), waits("b", 6)], {"b"}, id="a settled one has no right to its old slot"),
        pytest.param([crashed("a", None)], set(), id="a crash of unknown time has only just come"),
        pytest.param([crashed("a", 0, settle=0)], {"a"}, id="a pool may do without settling"),
        pytest.param([starts("a", 2), starts("b", 1), starts("c", 3)], {"c"}, id="of too many the first goes on"),
        pytest.param(
            [starts("a", 9), crashed("b", 2)], {"a"}, id="another one's crash stops nobody who started before"
        ),
        pytest.param([starts("a", 1), crashed("b", 2)], set(), id="nobody starts beside one that settles"),
        pytest.param(
            [starts("a", 9, limit=2), waits("b", 1, limit=2), waits("c", limit=2)], {"a", "b"}, id="two slots serve two"
        ),
        pytest.param([starts("a", 9), waits("b", limit=4)], {"a"}, id="the limit of one that starts binds the others"),
        pytest.param(
            [starts("a", 9, limit=4), waits("b", 2), waits("c", 1, limit=4)], {"a"}, id="nobody overtakes a pickier one"
        ),
        pytest.param([waits("a", node=""), waits("b", 1, node="")], {"b"}, id="unknown nodes are one where all are"),
        pytest.param(
            [waits("a", 1, node=""), waits("b")], {"b"}, id="an unknown node gives no slot where some are known"
        ),
    ],
)
def test_who_may_start(views, may):
    assert granted(*views) == may
    assert granted(*reversed(views)) == may


def test_where_the_scheduler_places_all_count_as_on_one_node():
    views = without_nodes([starts("a"), view("b", READY, node="node-b"), waits("c", node="")])
    assert granted(*views) == {"a"}
    assert granted(*(v for v in views if v.state is not STARTING)) == {"c"}


@pytest.mark.parametrize(
    ("views", "seconds"),
    [
        pytest.param([starts("a"), waits("b")], None, id="nothing settles"),
        pytest.param([crashed("a", 2), crashed("b", 4), crashed("c", 7)], 1, id="the first of several that settle"),
    ],
)
def test_when_time_frees_a_slot(views, seconds):
    assert next_grant(views, NOON) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("views", "sentence"),
    [
        pytest.param(
            [starts("qwen-0", 40), waits("a", 2), waits("b", 1), waits("me")],
            "waits for a start slot on node-a: evals/qwen-0 is starting since 11:59:20Z, 1 of 1 slots; 2 before it",
            id="behind one that starts and two that wait",
        ),
        pytest.param(
            [starts("qwen-0", 40), *(waits(f"w{n}", 1) for n in range(3)), waits("me")],
            "waits for a start slot on node-a: 3 or more before it",
            id="behind so many that it need not know who is first",
        ),
        pytest.param(
            [starts("qwen-0", 40), *(waits(f"w{n}", 1) for n in range(9)), waits("me")],
            "waits for a start slot on node-a: 3 or more before it",
            id="behind nine, which is told like three",
        ),
        pytest.param(
            [starts("qwen-0", 40), *(waits(f"w{n}", 1) for n in range(10)), waits("me")],
            "waits for a start slot on node-a: 10 or more before it",
            id="behind ten",
        ),
        pytest.param(
            [crashed("a", 2), waits("me")],
            "waits for a start slot on node-a: evals/a crashed and settles until 12:00:03Z, 1 of 1 slots",
            id="behind one that settles",
        ),
        pytest.param(
            [starts(f"s-{n}", 9, limit=5) for n in range(4)] + [waits("a", 1, limit=5), waits("me", limit=5)],
            "waits for a start slot on node-a: evals/s-0 is starting since 11:59:51Z, evals/s-1 is starting since"
            " 11:59:51Z, evals/s-2 is starting since 11:59:51Z and 2 more, 5 of 5 slots",
            id="behind more than a sentence holds",
        ),
        pytest.param(
            [waits("a", 1, node=""), waits("me", node="")],
            "waits for a start slot: evals/a starts next, 1 of 1 slots",
            id="where the scheduler places",
        ),
        pytest.param([waits("a", 1), waits("me", node="")], "waits for a node", id="no node yet"),
        pytest.param([waits("me")], "has a start slot on node-a", id="its turn"),
        pytest.param([crashed("me", 3)], "settles until 12:00:02Z", id="it settles itself"),
    ],
)
def test_a_wait_says_for_whom(views, sentence):
    assert describe_wait("evals/me", views, NOON) == sentence


class Nodes:
    """Two nodes, their kubelets, and a caller that obeys the rule after every event."""

    def __init__(self):
        self.now = NOON
        self.views = {}
        self.served_before = {}
        """By replica that waits: who was given a slot on its node since it waits."""

    def obey(self):
        may = grant(list(self.views.values()), self.now)
        for v in list(self.views.values()):
            self.carry_out(v, may=v.instance in may)

    def carry_out(self, v, *, may):
        is_waiting = v.state is WAITING or (v.state is CRASHED and not is_settling(v, self.now))
        if may and is_waiting:
            self.start(v)
        elif not may and (v.state is STARTING or (v.state is CRASHED and is_waiting)):
            self.enter(v, WAITING)

    def start(self, v):
        self.enter(v, STARTING)
        self.served_before.pop(v.instance, None)
        for other in self.on_node(v.node, WAITING):
            assert v.instance not in self.served_before[other.instance], "starts a second time before another's first"
            self.served_before[other.instance].add(v.instance)

    def enter(self, v, state):
        if state is WAITING:
            self.served_before[v.instance] = set()
        self.views[v.instance] = replace(v, state=state, since=self.now)

    def on_node(self, node, state):
        return [v for v in self.views.values() if v.node == node and v.state is state]

    def happen(self, event, name, seconds):
        v = self.views.get(name)
        self.now += timedelta(seconds=seconds if v is None else max(1, seconds))
        if v is None:
            self.enter(StartView(name, f"node-{len(name) % 2}", WAITING, None, 1 + 3 * (name[0] in "aeio"), 5), WAITING)
        elif event == "delete":
            del self.views[name]
        elif event == "ready" and v.state is STARTING:
            self.enter(v, READY)
        elif event == "crash" and v.state in (STARTING, READY):
            self.enter(v, CRASHED)
        elif event == "restart in place" and v.state in (CRASHED, READY):
            self.enter(v, STARTING)

    def assert_limits_hold(self):
        for node in ("node-0", "node-1"):
            starting = self.on_node(node, STARTING)
            assert len(starting) <= min((v.limit for v in starting), default=0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ready", "crash", "restart in place", "delete", "ready", "restart in place"]),
        st.sampled_from(["a", "b", "cc", "dd", "e", "i", "oo", "ff"]),
        st.sampled_from([0, 0, 1, 3, 6]),
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(events=EVENTS)
def test_after_every_event_limits_hold_nobody_starts_twice_before_another_and_the_rule_says_the_same_again(events):
    nodes = Nodes()
    for event in events:
        nodes.happen(*event)
        nodes.obey()
        nodes.assert_limits_hold()
        before = dict(nodes.views)
        nodes.obey()
        assert nodes.views == before


@settings(max_examples=40, deadline=None)
@given(events=EVENTS)
def test_when_crashes_cease_everybody_starts_within_as_many_rounds_as_there_are_replicas(events):
    nodes = Nodes()
    for event in events:
        nodes.happen(*event)
        nodes.obey()
    for _ in range(len(nodes.views) + 1):
        for name in list(nodes.views):
            nodes.happen("ready", name, 0)
        nodes.now += timedelta(seconds=6)
        nodes.obey()
    assert {v.state for v in nodes.views.values()} <= {READY, STARTING}
