"""Laws of a pool's plan, over worlds at random: it reaches a fixed point, repeats nothing, and stays within bounds."""

from hypothesis import given, settings
from hypothesis import strategies as st

SPECS = st.fixed_dictionaries(
    {
        "replicas": st.integers(0, 3),
        "gpuMemoryUtilization": st.sampled_from([60, 90, 95]),
        "remediation": st.fixed_dictionaries({"maxAttempts": st.integers(0, 6)}),
    }
)
CRASHES = st.tuples(st.integers(40, 100), st.sampled_from(["CAPTURE_OOM", "RUN_OOM", "CUDA_OOM", "LOAD_OOM", "NONE"]))
CHANGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"replicas": st.integers(0, 4)}),
        st.fixed_dictionaries({"maxModelLen": st.integers(1, 9)}),
        st.fixed_dictionaries({"preflight": st.just({"toolCalling": "Off"})}),
    ),
    max_size=3,
)


def assert_says_the_same_again(w):
    before = w.pool.status
    again = w.reconcile()
    assert w.pool.status == before
    assert (again.events, again.delete, again.status_first) == ((), (), False)


@settings(max_examples=12, deadline=None)
@given(spec=SPECS, crash=CRASHES, changes=CHANGES)
def test_every_world_settles_and_then_a_plan_changes_and_tells_nothing(world, oom_above, spec, crash, changes):
    w = world(dies=oom_above(*crash), **spec)
    w.settle()
    for change in changes:
        w.change(**change)
        w.settle()
    assert_says_the_same_again(w)


@settings(max_examples=12, deadline=None)
@given(spec=SPECS, crash=CRASHES, rounds=st.integers(0, 4))
def test_a_plan_that_is_repeated_before_the_world_moves_tells_nothing_new(world, oom_above, spec, crash, rounds):
    w = world(dies=oom_above(*crash), **spec)
    for _ in range(rounds):
        w.reconcile()
        w.roll()
    w.reconcile()
    assert_says_the_same_again(w)


@settings(max_examples=12, deadline=None)
@given(spec=SPECS, crash=CRASHES)
def test_what_runs_stays_between_the_minimum_and_the_spec(world, oom_above, spec, crash):
    w = world(dies=oom_above(*crash), **spec)
    w.settle()
    told = [e for e in w.events if "(attempt " in e.message]
    assert 50 <= w.pool.status.effective.gpu_memory_utilization <= spec["gpuMemoryUtilization"]
    assert len(told) == w.pool.status.ladder.attempts <= spec["remediation"]["maxAttempts"]
    assert w.pool.status.ready == f"{w.pool.status.ready_replicas}/{spec['replicas']}"


@settings(max_examples=10, deadline=None)
@given(spec=SPECS, crash=CRASHES)
def test_a_crash_that_was_counted_is_never_counted_again_after_an_operators_restart(world, oom_above, spec, crash):
    """The status is written before the children: a restart in between finds old pods and a new status."""
    w = world(dies=oom_above(*crash), **spec)
    w.settle(limit=60)
    attempts = w.pool.status.ladder.attempts
    for _ in range(3):
        w.reconcile()
    assert w.pool.status.ladder.attempts == attempts
