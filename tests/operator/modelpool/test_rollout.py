"""Rollouts: who takes up changed settings now, who waits for a slot, and whom runs keep as it is."""

from datetime import timedelta

import pytest

from toolorch_api.modelpool_status import InstanceState, ModelPoolStatus
from toolorch_operator.modelpool.fetch.legs import FetchPlan
from toolorch_operator.modelpool.observed import ClusterView, ObservedPool, Probe, ServedModel, StartView
from toolorch_operator.modelpool.pods import ANNOTATION_TEMPLATE, PodView, Termination
from toolorch_operator.modelpool.rollout import describe_deferral, is_forced, template_hash
from toolorch_operator.modelpool.stages import Gates, advance
from toolorch_operator.modelpool.targets import proof
from toolorch_operator.placement.views import Placement

READY, STARTING, CRASHED = InstanceState.READY, InstanceState.STARTING, InstanceState.CRASHED
WAITING = InstanceState.WAITING_FOR_SLOT

# How a pod looks to the API server.
UP = {"ready": True}
LOADS = {}
ENDED = {"waiting_reason": "CrashLoopBackOff", "terminations": (Termination(0, 85),)}
STATES = {"up": (UP, READY), "loads": (LOADS, STARTING), "ended": (ENDED, CRASHED)}


@pytest.fixture
def roll(pool_of, noon):
    """Tell what becomes of replicas that are each (template, look) or (template, look, node)."""

    def roll(*replicas, others=(), is_deferred=False):
        pool = pool_of("p", replicas=len(replicas))
        pods = [build_pod(f"p-{i}", *replica) for i, replica in enumerate(replicas)]
        known = [
            {
                "name": p.instance,
                "state": STATES[look][1],
                "since": noon - timedelta(minutes=1),
                "proven": proof(pool, p) if STATES[look][1] is READY else "",
            }
            for p, (_, look, *_) in zip(pods, replicas, strict=True)
        ]
        status = ModelPoolStatus.model_validate({"instances": known})
        starts = [StartView(f"evals/{name}", "node-a", state, noon) for name, state in others]
        observed = ObservedPool(pods=pods, cluster=ClusterView(Placement(), starts))
        gates = Gates(noon, 600, FetchPlan(), template="new", is_deferred=is_deferred)
        names = [p.instance for p in pods]
        return [describe(r) for r in advance(pool.model_copy(update={"status": status}), observed, names, gates)]

    return roll


def build_pod(name, template, look, node="node-a"):
    return PodView(name, f"uid-{name}", name, node=node, phase="Running", template=template, **STATES[look][0])


def describe(replica):
    if replica.keeps:
        return "keeps"
    return "stops" if not replica.runs else "serves" if replica.state is READY else "starts"


@pytest.mark.parametrize(
    ("replicas", "more", "steps"),
    [
        pytest.param([("new", "up"), ("new", "loads")], {}, ["serves", "starts"], id="nothing has changed"),
        pytest.param([("new", "up")], {"is_deferred": True}, ["serves"], id="nothing has changed and a run uses it"),
        pytest.param(
            [("old", "up"), ("old", "up")],
            {"is_deferred": True},
            ["keeps", "keeps"],
            id="a run keeps servers as they are",
        ),
        pytest.param(
            [("old", "up"), ("old", "up")], {}, ["starts", "keeps"], id="without a run they roll one after another"
        ),
        pytest.param([("old", "up"), ("old", "up", "node-b")], {}, ["starts", "starts"], id="nodes roll side by side"),
        pytest.param(
            [("new", "loads"), ("old", "up")], {}, ["starts", "keeps"], id="the next waits until the last one serves"
        ),
        pytest.param(
            [("old", "up")], {"others": [("q-0", STARTING)]}, ["keeps"], id="another pool's start has the slot"
        ),
        pytest.param(
            [("old", "up")], {"others": [("a-0", WAITING)]}, ["keeps"], id="who does not serve yet starts first"
        ),
        pytest.param(
            [("old", "loads"), ("old", "ended")],
            {"is_deferred": True},
            ["stops", "stops"],
            id="who does not serve has nothing to lose, and makes way for its successor",
        ),
        pytest.param(
            [("old", "ended"), ("old", "up")],
            {"is_deferred": True},
            ["stops", "keeps"],
            id="a remedy reaches the one that crashed and not its sound neighbour",
        ),
    ],
)
def test_who_takes_up_changed_settings(roll, replicas, more, steps):
    assert roll(*replicas, **more) == steps


def test_a_rollout_takes_one_server_of_a_node_at_a_time_and_ends_with_all_of_them_changed(world):
    w = world(replicas=4)
    w.settle()
    w.change(maxModelLen=99)
    for _ in range(20):
        w.reconcile()
        down = [i.node for i in w.pool.status.instances if i.state is not READY]
        assert len(down) == len(set(down))
        w.roll()
    assert w.pool.status.ready == "4/4"
    commands = [p["spec"]["containers"][0]["command"] for p in w.pods.values()]
    assert all("99" in " ".join(command) for command in commands)


def test_a_deferral_names_the_runs_and_the_way_out():
    assert describe_deferral(["a", "b", "c", "d", "e"]) == (
        "replicas serve on with earlier settings as long as runs use the pool (a, b, c and 2 more);"
        " the annotation toolorch.dev/rollout=now rolls them at once"
    )
    assert "(a);" in describe_deferral(["a"])


@pytest.mark.parametrize(
    ("annotations", "forced"),
    [({}, False), ({"toolorch.dev/rollout": "now"}, True), ({"toolorch.dev/rollout": "later"}, False)],
)
def test_only_the_word_now_forces_a_rollout(pool_of, annotations, forced):
    pool = pool_of()
    metadata = pool.metadata.model_copy(update={"annotations": annotations})
    assert is_forced(pool.model_copy(update={"metadata": metadata})) is forced


def test_a_template_is_known_by_what_it_says_and_not_by_the_order_of_its_fields():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"image": "vllm:1", "command": ["vllm", "serve"]}}
    turned = {"spec": dict(reversed(template["spec"].items())), "metadata": template["metadata"]}
    assert template_hash(template) == template_hash(turned)
    assert template_hash(template) != template_hash({**template, "spec": {**template["spec"], "image": "vllm:2"}})


@pytest.mark.parametrize(
    ("state", "others", "step"),
    [
        pytest.param(STARTING, (), "starts", id="where it has its slot: the Deployment makes the next pod by itself"),
        pytest.param(READY, (), "starts", id="where somebody else told it to go and there is a slot"),
        pytest.param(READY, [("q-0", STARTING)], "stops", id="not where another has the slot"),
        pytest.param(WAITING, (), "stops", id="not where it has yet to begin"),
    ],
)
def test_a_replica_goes_on_while_its_earlier_pod_goes(pool_of, noon, state, others, step):
    known = {"instances": [{"name": "p-0", "state": state, "since": noon - timedelta(seconds=5)}]}
    pool = pool_of("p", status=known)
    starts = [StartView(f"evals/{name}", "node-a", each, noon - timedelta(minutes=1)) for name, each in others]
    placement = Placement(assigned={"evals/p-0": "node-a"})
    observed = ObservedPool(
        pods=[PodView("old", "uid-old", "p-0", node="node-a", phase="Running", deleting=True)],
        cluster=ClusterView(placement, starts),
    )
    [replica] = advance(pool, observed, ["p-0"], Gates(noon, 600, FetchPlan(), template="new"))
    assert describe(replica) == step


@pytest.mark.parametrize(
    ("look", "probe", "state"),
    [
        pytest.param(UP, Probe(False, error="no answer"), "NotUseful", id="it answers nobody for a moment"),
        pytest.param({}, None, STARTING, id="it is not ready for a moment"),
        pytest.param(UP, Probe(True, (ServedModel("p"),)), READY, id="it answers again"),
    ],
)
def test_a_server_that_has_passed_needs_neither_slot_nor_exam_though_another_starts_where(
    pool_of, noon, look, probe, state
):
    pod = PodView("a", "uid-a", "p-0", node="node-a", phase="Running", template="new", **look)
    known = {"name": "p-0", "state": "NotUseful", "proven": proof(pool_of("p"), pod), "since": noon}
    pool = pool_of("p", status={"instances": [known]})
    starts = [StartView("evals/q-0", "node-a", STARTING, noon - timedelta(minutes=1))]
    probes = {} if probe is None else {"p-0": probe}
    observed = ObservedPool(pods=[pod], probes=probes, cluster=ClusterView(Placement(), starts))
    [replica] = advance(pool, observed, ["p-0"], Gates(noon, 600, FetchPlan(), template="new"))
    assert (replica.state, replica.runs, replica.proven) == (state, True, known["proven"])


@pytest.mark.parametrize(
    ("running", "step"),
    [
        pytest.param({"replicas": 1, "template": "new"}, "starts", id="is to go: its Deployment has the new template"),
        pytest.param({"replicas": 1, "template": "old"}, "stops", id="is still wanted by its Deployment"),
        pytest.param({"replicas": 0, "template": "new"}, "stops", id="is to go, and no other is to come"),
    ],
)
@pytest.mark.parametrize("look", [UP, LOADS, ENDED], ids=["answers nothing", "is not ready", "has ended"])
def test_a_rollout_goes_on_while_its_earlier_pod_has_yet_to_be_told(pool_of, noon, running, step, look):
    known = {"instances": [{"name": "p-0", "state": STARTING, "since": noon - timedelta(seconds=1)}]}
    template = {"metadata": {"annotations": {ANNOTATION_TEMPLATE: running["template"]}}}
    observed = ObservedPool(
        pods=[PodView("old", "uid-old", "p-0", node="node-a", phase="Running", template="old", **look)],
        deployments={"p-0": {"spec": {"replicas": running["replicas"], "template": template}}},
        cluster=ClusterView(Placement(assigned={"evals/p-0": "node-a"}), []),
    )
    [replica] = advance(pool_of("p", status=known), observed, ["p-0"], Gates(noon, 600, FetchPlan(), template="new"))
    assert describe(replica) == step
