"""Whatever its limits do to a run, and whenever they are raised, it can be brought to its end and pays for it once."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolorch_api.keys import SUMMARY_KEY
from toolorch_api.shard import Summary

LIMITS = {"callSeconds": 10, "unitSeconds": 20}
YEAR = 31_536_000
EVENT = st.one_of(
    st.tuples(st.sampled_from(["tick", "two operators", "reap"]), st.none()),
    st.tuples(st.just("crash"), st.integers(0, 3)),
    st.tuples(st.just("work"), st.integers(0, 5)),
    st.tuples(st.just("storage"), st.booleans()),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("infra"), st.sets(st.integers(0, 9), max_size=2)),
    st.tuples(st.just("wait"), st.sampled_from([30, 700, 8000])),
    st.tuples(st.just("budget"), st.integers(1, 12)),
    st.tuples(st.just("deadline"), st.sampled_from([40, 2000, 90000])),
    st.tuples(st.just("retry"), st.integers(0, 3)),
    st.tuples(st.just("acceptance"), st.sampled_from([80, 100])),
)


def act(world, what, how):
    {
        "tick": lambda: world.tick(),
        "two operators": lambda: world.tick_twice(),
        "reap": lambda: world.reap(),
        "crash": lambda: world.tick(crash_after=how),
        "work": lambda: world.work(how),
        "storage": lambda: setattr(world, "down", how),
        "suspend": lambda: world.edit(suspend=how),
        "infra": lambda: setattr(world, "infra", how),
        "wait": lambda: setattr(world, "now", world.now + timedelta(seconds=how)),
        "budget": lambda: world.edit(budget={"tokens": how}),
        "deadline": lambda: world.edit(deadlines={**LIMITS, "runSeconds": how}),
        "retry": lambda: world.edit(retry={"infra": how}),
        "acceptance": lambda: world.edit(acceptance={"minCoverage": how, "maxInfraErrors": 100 - how}),
    }[what]()


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(undisturbed=st.integers(0, 20), events=st.lists(EVENT, max_size=40))
def test_a_run_that_ran_into_limits_is_brought_to_its_end_by_lifting_them(kit, undisturbed, events):
    world = kit.World(budget={"tokens": 6}, ttlSecondsAfterFinished={"complete": 7200, "failed": 7200})
    for turn in range(undisturbed):
        world.tick()
        world.work(turn)
    spent = 0
    for what, how in events:
        was_complete = world.raw.get("status") and world.condition("Complete").status == "True"
        act(world, what, how)
        assert world.status.usage.prompt_tokens >= spent, "nothing that was spent is taken back"
        spent = world.status.usage.prompt_tokens
        assert not was_complete or world.condition("Complete").status == "True", "complete is for good"
    world.down, world.infra = False, set()
    world.edit(budget={}, deadlines={**LIMITS, "runSeconds": YEAR}, retry={"infra": 20}, suspend=False)
    world.settle()
    assert world.condition("Complete").status == "True", world.status.reason
    assert len(world.executed) == len(set(world.executed))
    assert world.attempts == sorted(world.attempts)
    assert world.get(SUMMARY_KEY, Summary).attempt == world.status.attempt
    world.now += timedelta(hours=3)
    for _ in range(3):
        world.tick()
        world.reap()
    assert (world.jobs, world.pods, world.config_maps, world.status.expired) == ({}, {}, {}, True)
