"""What `toolorch watch` shows of a run: a table that is whole at 80 columns, and lines without a terminal."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from toolorch_evaluator.cli.pace import observe, per_minute
from toolorch_evaluator.cli.sight import Sight, parse_events, parse_pools, parse_run, parse_shards
from toolorch_evaluator.cli.watch_table import render, render_end, tell_changes

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
POOLS = ("orchestrator", "user-sim", "expert-pool")
REASON = "Running: attempt 1: 101 of 278 done, 12 running; 1 pod waits: Unschedulable"


def at(**ago):
    return (NOW - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def run_raw(**status):
    units = {"total": 278, "done": 101, "passed": 45, "failed": 56, "infraErrors": 2, "running": 12}
    given = {
        "attempt": 1,
        "startTime": at(minutes=12),
        "done": "101/278",
        "reason": REASON,
        "eta": "21m",
        "units": units,
    }
    roles = {"agent": {"pool": POOLS[0]}, "user": {"pool": POOLS[1]}, "experts": {"expert-1": {"pool": POOLS[2]}}}
    return {
        "kind": "EvalRun",
        "metadata": {"name": "tau2-smoke", "namespace": "lab"},
        "spec": {"benchmark": {"name": "tau2"}, "roles": roles, "fromTheFuture": True},
        "status": given | status,
    }


def pool_raw(name, ready, reason):
    return {"kind": "ModelPool", "metadata": {"name": name}, "status": {"ready": ready, "reason": reason}}


def pod_raw(index, phase="Running", node="node-a", name="", labels=None, **status):
    labels = labels or {"toolorch.dev/attempt": "1", "batch.kubernetes.io/job-completion-index": str(index)}
    meta = {"name": name or f"p-{index}", "labels": labels, "creationTimestamp": at(minutes=11)}
    return {"metadata": meta, "spec": {"nodeName": node} if node else {}, "status": {"phase": phase, **status}}


def event_raw(reason, message, kind="EvalRun", name="tau2-smoke", type_="Normal", **ago):
    about = {"kind": kind, "name": name}
    return {"reason": reason, "message": message, "type": type_, "involvedObject": about, "lastTimestamp": at(**ago)}


UNSCHEDULABLE = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
OWNERS = [
    pool_raw("user-sim", "0/1", "WaitingForGPU: user-sim-0 finds no node: 0/9 nodes are available: 9 Insufficient"),
    pool_raw("orchestrator", "4/4", "AllReplicasReady"),
]  # fmt: skip
PODS = [
    pod_raw(10, "Pending", node="", **UNSCHEDULABLE),
    pod_raw(2, node="node-b"),
    pod_raw(0, "Failed", name="p-0-old", containerStatuses=[{"state": {"terminated": {"exitCode": 1}}}]),
    pod_raw(0),
    pod_raw(9, labels={"toolorch.dev/step": "plan"}, phase="Succeeded"),
]
EVENTS = [
    event_raw("Ready", "another pool's", kind="ModelPool", name="stranger", minutes=1),
    event_raw("Crashed", "user-sim-0 ended\nwith CAPTURE_OOM", "ModelPool", "user-sim", "Warning", seconds=40),
    event_raw("Running", "attempt 1: 278 missing units over 3 shards and then so many words too many", minutes=12),
]  # fmt: skip


def sight(run=None, owners=OWNERS, pods=PODS, events=EVENTS, notes=()):
    parsed = parse_run(run or run_raw())
    return Sight(parsed, parse_pools(parsed, owners), parse_shards(parsed, pods), parse_events(parsed, events), notes)


def text_of(seen, rate=8.37):
    stream = StringIO()
    Console(file=stream, width=80).print(render(seen, rate, NOW))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


TABLE = """\
tau2-smoke in lab: tau2, attempt 1, for 12m
Running: attempt 1: 101 of 278 done, 12 running; 1 pod waits: Unschedulable
━━━━━━━━━━╸                     101/278  8.4/min  ETA 21m
passed 45  failed 56  running 12  errors 2

POOL          READY  REASON
orchestrator  4/4    AllReplicasReady
user-sim      0/1    WaitingForGPU: user-sim-0 finds no node: 0/9 nodes are ava…
expert-pool          does not exist

SHARD  STATE          TRIES  AGE  NODE
0      Running        2      11m  node-a
2      Running        1      11m  node-b
10     Unschedulable  1      11m

AGE  EVENT    MESSAGE
12m  Running  attempt 1: 278 missing units over 3 shards and then so many words…
40s  Crashed  user-sim-0 ended with CAPTURE_OOM
you have no right to list pods""".splitlines()


def test_a_running_attempt_is_whole_at_80_columns():
    assert text_of(sight(notes=("you have no right to list pods",))) == TABLE


def test_a_run_that_nobody_has_looked_at_yet_says_so():
    raw = run_raw()
    del raw["status"]
    lines = text_of(sight(raw, owners=(), pods=(), events=()), rate=None)
    assert lines[:2] == ["tau2-smoke in lab: tau2", "not seen by the operator yet"]


def test_of_many_shards_those_in_trouble_are_named_and_the_others_counted():
    pods = [pod_raw(i, "Succeeded" if i < 20 else "Running") for i in range(60)]
    pods[10] = pod_raw(10, "Pending", node="", **UNSCHEDULABLE)
    lines = text_of(sight(pods=pods))
    at = lines.index("SHARD  STATE          TRIES  AGE  NODE")
    assert lines[at + 1 : at + 3] == [
        "10     Unschedulable  1      11m",
        "and 59 more shards: 40 Running, 19 Succeeded",
    ]


def test_a_long_reason_takes_two_lines_and_no_more():
    lines = text_of(sight(run_raw(reason="WaitingForPools: " + "user-sim 0/1 ready, " * 20), pods=(), events=()))
    assert lines[2].endswith("…")
    assert lines[3].startswith("━")


@pytest.mark.parametrize(
    ("pod", "state"),
    [
        pytest.param({"phase": "Pending"}, "Pending", id="nothing is known of it"),
        pytest.param(
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "ImagePullBackOff",
            id="the kubelet's reason",
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 42}}}]},
            "Failed (42)",
            id="its exit code",
        ),
        pytest.param({"phase": "Failed", "reason": "Evicted"}, "Failed", id="no container ended"),
    ],
)
def test_the_state_of_a_shard_is_its_newest_pods(pod, state):
    assert [s.state for s in sight(pods=[pod_raw(0, **pod)]).shards] == [state]


def test_a_pod_that_is_told_to_go_says_so_and_what_plans_or_reports_is_shown_while_it_lasts():
    going = pod_raw(0)
    going["metadata"]["deletionTimestamp"] = at(seconds=1)
    earlier = pod_raw(1, labels={"toolorch.dev/attempt": "0"})
    report = pod_raw(2, labels={"toolorch.dev/step": "report"})
    shards = sight(pods=[going, earlier, report]).shards
    assert [(s.name, s.state) for s in shards] == [("report", "Running"), ("0", "Terminating")]


def test_without_a_terminal_each_change_is_one_line():
    first = sight()
    assert tell_changes(None, first, None)[-1] == "tau2-smoke: 101/278 done, 45 passed, 2 errors, ETA 21m"
    assert tell_changes(first, first, 8.4) == []
    pods = [PODS[0], PODS[1], pod_raw(0, "Succeeded")]
    late = event_raw("QuotaExceeded", "no room", type_="Warning", seconds=1)
    then = sight(
        run_raw(done="102/278"), [OWNERS[0], pool_raw("orchestrator", "3/4", "Crashed")], pods, [*EVENTS, late]
    )
    assert tell_changes(first, then, 8.37) == [
        "orchestrator: 3/4 Crashed",
        "shard 0: Succeeded on node-a",
        "Warning: tau2-smoke: QuotaExceeded: no room",
        "tau2-smoke: 102/278 done, 45 passed, 2 errors, 8.4/min, ETA 21m",
    ]


def test_a_run_that_cannot_go_on_by_itself_says_why():
    said = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "spec.trials: at least 1"}
    stalled = sight(run_raw(conditions=[said | {"lastTransitionTime": at(minutes=1)}]))
    assert text_of(stalled)[-1] == "Stalled: InvalidSpec: spec.trials: at least 1"
    assert tell_changes(sight(), stalled, None)[-1] == "Stalled: InvalidSpec: spec.trials: at least 1"


def test_the_end_says_the_score_with_n_both_ways_and_where_the_report_is():
    units = {"total": 10, "done": 8, "passed": 4}
    status = {"score": "0.500", "scoreScheduled": "0.400", "interval": "0.22–0.78", "reason": "RunComplete"}
    ended = sight(run_raw(units=units, report="s3://evals/r/report/report.html", **status))
    assert render_end(ended) == [
        "tau2-smoke: RunComplete",
        "score 0.500 over 8 scored units, 95 % interval 0.22–0.78",
        "score 0.400 over all 10 units, an unscored one counting 0",
        "report: s3://evals/r/report/report.html",
    ]


@pytest.mark.parametrize(
    ("looks", "rate"),
    [
        pytest.param([(0, 5)], None, id="one look tells nothing"),
        pytest.param([(0, 0), (3, 9)], None, id="a first burst tells nothing"),
        pytest.param([(0, 10), (60, 18)], 8, id="units per minute"),
        pytest.param([(0, 10), (600, 10), (660, 13)], 3, id="what was long ago does not count"),
        pytest.param([(0, 10), (60, 20), (90, 0), (120, 2)], 4, id="counts that fell begin anew"),
    ],
)
def test_the_rate_is_that_of_the_last_minutes(looks, rate):
    seen = []
    for seconds, done in looks:
        seen = observe(seen, NOW + timedelta(seconds=seconds), done)
    assert per_minute(seen) == rate
