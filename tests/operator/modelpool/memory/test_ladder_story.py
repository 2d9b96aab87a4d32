"""The ladder in a whole pool: what servers die of leads, pod by pod, to settings that they live with."""

from toolorch_operator.modelpool.command import parse_utilization


def between(low, high, report_of):
    """A server lives from `low` to `high` percent: below, its KV cache does not fit; above, its graphs do not."""

    def dies(command):
        percent = parse_utilization(command)
        if percent > high:
            return report_of("CAPTURE_OOM", phase="P3")
        return report_of("KV_NONE", phase="P2") if percent < low else None

    return dies


def test_a_server_that_lives_between_two_steps_is_found_there(world, report_of):
    w = world(dies=between(86, 88, report_of), gpuMemoryUtilization=95, replicas=2)
    w.settle()
    assert w.pool.status.ready == "2/2"
    assert [(r.from_, r.to) for r in w.pool.status.remediations] == [("95", "90"), ("90", "85"), ("85", "87")]
    assert w.reasons() == [
        *["GpuMemoryUtilizationLowered"] * 2,
        "GpuMemoryUtilizationRaised",
        "AllReplicasReady",
    ]


def test_a_server_that_lives_nowhere_ends_with_the_bracket_and_what_it_means(world, report_of):
    w = world(dies=between(89, 88, report_of), gpuMemoryUtilization=90, maxNumSeqs=1)
    w.settle()
    stalled = w.condition("Stalled")
    assert (stalled.status, stalled.reason) == ("True", "MemoryBracketClosed")
    assert "at gpuMemoryUtilization 87 the KV cache did not fit, and at 90 memory ran out" in stalled.message
    assert "Lower maxModelLen" in stalled.message
