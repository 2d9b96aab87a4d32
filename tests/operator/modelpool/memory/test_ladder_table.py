"""The table of remedies: which crash, in which situation, changes what; and what is said where nothing changes."""

import pytest

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_api.modelpool_status import Effective, Ladder
from toolorch_operator.modelpool.memory.advice import ADVICE
from toolorch_operator.modelpool.memory.bracket import with_verdict
from toolorch_operator.modelpool.memory.climb import climb, find_stall, start
from toolorch_operator.modelpool.memory.crashes import Crash, Figures
from toolorch_operator.modelpool.memory.rungs import LADDER

AT_85 = {"gpuMemoryUtilization": 85}
ALL_SET = {"gpuMemoryUtilization": 85, "maxModelLen": 32768, "maxNumSeqs": 64, "maxNumBatchedTokens": 8192}


def allow(*remedies):
    return {"remediation": {"allow": list(remedies)}}


def narrow(low, high, step=5):
    return {"remediation": {"gpuMemoryUtilization": {"min": low, "max": high, "step": step}}}


class Pool:
    """A pool whose servers crash under whatever settings hold."""

    def __init__(self, noon, known=None, /, **spec):
        self.noon = noon
        self.spec = ModelPoolSpec.model_validate({"model": "m", **spec})
        fresh = start(self.spec, Ladder(), Effective(), 1)
        self.at = start(self.spec, fresh.ladder.model_copy(update=known or {}), fresh.effective, 1)
        self.changes = []

    def crash(self, signature, /, *, phase="", instance="p-0", **figures):
        """Let a server crash; return what it changed as (field, from, to), or None."""
        key = f"uid-{len(self.changes)}/0"
        self.last = Crash(key, instance, signature, 85, phase=phase, figures=Figures(**figures))
        self.at = climb(self.spec, start(self.spec, self.at.ladder, self.at.effective, 1), [self.last], self.noon)
        found = [(r.field, r.from_, r.to) for r in self.at.records]
        self.changes.append(found[0] if found else None)
        return self.changes[-1]

    def stall(self):
        return find_stall(self.spec, self.at, self.last)


LOWERED = ("gpuMemoryUtilization", "85", "80")
TOLD = {"need": 16.0, "avail": 7.43, "est": 60832, "mml": 131072}


@pytest.mark.parametrize(
    ("spec", "known", "crash", "change"),
    [
        pytest.param(AT_85, {}, ("CAPTURE_OOM", {}), LOWERED, id="graphs find no room: one step less"),
        pytest.param(AT_85, {}, ("RUN_OOM", {}), LOWERED, id="memory runs out while serving: one step less"),
        pytest.param(AT_85, {}, ("CUDA_OOM", {}), LOWERED, id="the log tells no phase: one step less"),
        pytest.param(
            ALL_SET,
            {"steps": {"RUN_OOM/GpuMemoryUtilization": 2}},
            ("RUN_OOM", {}),
            ("maxNumBatchedTokens", "8192", "4096"),
            id="two lower values did not help: smaller batches where the spec sets them",
        ),
        pytest.param(
            AT_85,
            {"steps": {"RUN_OOM/GpuMemoryUtilization": 2}},
            ("RUN_OOM", {}),
            ("maxNumSeqs", "unset", "128"),
            id="two lower values did not help and batches are vLLM's choice: fewer sequences",
        ),
        pytest.param(
            AT_85,
            {"steps": {"RUN_OOM/GpuMemoryUtilization": 2, "RUN_OOM/MaxNumSeqs": 1}},
            ("RUN_OOM", {}),
            LOWERED,
            id="nothing else is left: lower again",
        ),
        pytest.param(
            AT_85, {"too_low": 80}, ("RUN_OOM", {}), ("gpuMemoryUtilization", "85", "82"), id="80 was too low: midway"
        ),
        pytest.param(
            ALL_SET,
            {"too_low": 82},
            ("RUN_OOM", {}),
            ("maxNumBatchedTokens", "8192", "4096"),
            id="82 was too low, which is too near: smaller batches",
        ),
        pytest.param(
            AT_85 | narrow(82, 95), {}, ("RUN_OOM", {}), ("gpuMemoryUtilization", "85", "82"), id="not below the min"
        ),
        pytest.param(
            AT_85, {}, ("KV_NONE", {}), ("gpuMemoryUtilization", "85", "90"), id="no cache at all: one step more"
        ),
        pytest.param(
            AT_85,
            {},
            ("KV_NONE", {"free": 89.5, "total": 100.0}),
            ("gpuMemoryUtilization", "85", "87"),
            id="no cache at all on a shared GPU: no more than is free",
        ),
        pytest.param(
            AT_85, {"too_high": 90}, ("KV_NONE", {}), ("gpuMemoryUtilization", "85", "87"), id="90 was too high: midway"
        ),
        pytest.param(
            ALL_SET | narrow(50, 85),
            {},
            ("KV_NONE", {}),
            ("maxNumBatchedTokens", "8192", "4096"),
            id="no cache at the maximum: smaller batches",
        ),
        pytest.param(
            AT_85 | narrow(50, 85),
            {},
            ("AUTOFIT", {}),
            ("maxNumSeqs", "unset", "128"),
            id="no length fits at the maximum: fewer sequences",
        ),
        pytest.param(
            AT_85,
            {},
            ("KV_SMALL", TOLD | {"need": 9.0, "total": 80.0}),
            ("gpuMemoryUtilization", "85", "88"),
            id="the cache lacks 1.57 of 80 GiB: 2 points and one to spare",
        ),
        pytest.param(
            AT_85,
            {},
            ("KV_SMALL", TOLD | {"total": 80.0}),
            ("maxModelLen", "131072", "60832"),
            id="the cache lacks more than the maximum gives: a context that fits",
        ),
        pytest.param(
            AT_85,
            {},
            ("KV_SMALL", TOLD | {"need": 8.0}),
            ("gpuMemoryUtilization", "85", "90"),
            id="the cache lacks little and the GPU's size is not told: one step more",
        ),
        pytest.param(
            AT_85, {}, ("KV_SMALL", TOLD), ("maxModelLen", "131072", "60832"), id="the cache lacks half: what fits"
        ),
        pytest.param(
            ALL_SET,
            {},
            ("KV_SMALL", {"need": 2.0, "avail": 1.0, "mml": 32768}),
            ("maxModelLen", "32768", "16384"),
            id="vLLM leaves its estimate out: the share of the context that has room",
        ),
        pytest.param(
            AT_85,
            {},
            ("KV_SMALL_V0", {"mml": 4096, "est": 1999}),
            ("maxModelLen", "4096", "1984"),
            id="an old engine counts in tokens: whole blocks of them",
        ),
        pytest.param(
            AT_85, {}, ("KV_SMALL_V0", {"mml": 4096, "est": 3664}), ("gpuMemoryUtilization", "85", "90"),
            id="an old engine lacks few tokens: one step more",
        ),
        pytest.param(
            AT_85, {"too_high": 88}, ("KV_SMALL", TOLD), ("maxModelLen", "131072", "60832"),
            id="88 was too high, which is too near: a context that fits",
        ),
        pytest.param(
            AT_85 | allow("GpuMemoryUtilization", "MaxNumSeqs"),
            {"too_high": 88},
            ("KV_SMALL", TOLD),
            ("maxNumSeqs", "unset", "128"),
            id="no utilization helps and the context may not be cut: fewer sequences",
        ),
        pytest.param(
            AT_85 | narrow(50, 100),
            {"too_high": 95},
            ("KV_SMALL", TOLD | {"total": 80.0}),
            ("maxModelLen", "131072", "60832"),
            id="the cache lacks what only a value that was too high would give: a context that fits",
        ),
        pytest.param(
            {"maxModelLen": 512},
            {},
            ("KV_SMALL", {"need": 2.0, "avail": 1.0, "est": 250, "mml": 512}),
            ("maxModelLen", "512", "240"),
            id="who asks for a short context may get a shorter one",
        ),
        pytest.param(AT_85, {}, ("EXT", {}), ("gpuMemoryUtilization", "85", "90"), id="foreign weights: one step more"),
        pytest.param(
            AT_85, {}, ("CPU", {"need": 0.913}), ("gpuMemoryUtilization", "85", "92"), id="a CPU says how much it needs"
        ),
        pytest.param(
            ALL_SET, {}, ("PROFILE_OOM", {}), ("maxNumBatchedTokens", "8192", "4096"), id="the profile: smaller batches"
        ),
        pytest.param(
            ALL_SET | {"maxNumBatchedTokens": 100},
            {},
            ("PROFILE_OOM", {}),
            ("maxNumSeqs", "64", "32"),
            id="the profile with batches of a token per sequence: fewer sequences",
        ),
        pytest.param(
            AT_85, {}, ("SAMPLER_OOM", {"phase": "P2", "seqs": 1024}), ("maxNumSeqs", "unset", "512"), id="the sampler"
        ),
        pytest.param(
            AT_85,
            {"steps": {"SAMPLER_OOM/MaxNumSeqs": 2}},
            ("SAMPLER_OOM", {"phase": "P3"}),
            LOWERED,
            id="the sampler again, after the cache was sized: one step less",
        ),
        pytest.param(
            ALL_SET,
            {"steps": {"SAMPLER_OOM/MaxNumSeqs": 2}},
            ("SAMPLER_OOM", {"phase": "P2"}),
            ("maxNumSeqs", "64", "32"),
            id="the sampler again, before the cache was sized: fewer sequences",
        ),
        pytest.param(AT_85, {}, ("MAMBA", {"seqs": 37}), ("maxNumSeqs", "unset", "37"), id="what Mamba's cache holds"),
        pytest.param(
            AT_85, {}, ("MAMBA", {"seqs": 0}), ("gpuMemoryUtilization", "85", "90"), id="Mamba's cache holds none: more"
        ),
        pytest.param(AT_85, {}, ("FREE_LT", {"free": 15.0, "total": 20.0}), ("restart", "0", "1"), id="not free yet"),
        pytest.param(
            AT_85,
            {"steps": {"FREE_LT/Restart": 1, "FREE_LT/Restart/p-0": 1}},
            ("FREE_LT", {"free": 15.5, "total": 20.0}),
            ("gpuMemoryUtilization", "85", "75"),
            id="the GPU stays shared: what is free",
        ),
        pytest.param(
            AT_85 | narrow(50, 95),
            {"too_low": 60, "steps": {"FREE_LT/Restart": 1, "FREE_LT/Restart/p-0": 1}},
            ("FREE_LT", {"free": 12.0, "total": 20.0}),
            None,
            id="what is free was too low: nothing",
        ),
        pytest.param(AT_85, {}, ("RACE", {}), ("restart", "0", "1"), id="a race is run again"),
        pytest.param(AT_85, {}, ("LOAD_OOM", {}), ("restart", "0", "1"), id="weights do not fit: one more try"),
        pytest.param(
            {"resources": {"memory": "32Gi"}}, {}, ("HOST_OOM", {}), ("memory", "32Gi", "49152Mi"), id="host memory"
        ),
        pytest.param(
            {"resources": {"memory": "1000001k"}}, {}, ("HOST_OOM", {}), ("memory", "1000001k", "1431Mi"), id="decimal"
        ),
    ],
)  # fmt: skip
def test_what_a_crash_changes(noon, spec, known, crash, change):
    signature, told = crash
    assert Pool(noon, known, **spec).crash(signature, **told) == change


def test_what_every_remedy_changes_is_what_the_server_is_started_with(noon):
    pool = Pool(noon, **ALL_SET, **narrow(50, 85), resources={"memory": "1Gi"})
    for signature in ("KV_NONE", "MAMBA", "KV_SMALL", "HOST_OOM", "RUN_OOM"):
        pool.crash(signature, seqs=7.0, mml=32768.0, need=2.0, avail=1.0)
    assert pool.at.effective == Effective(
        gpu_memory_utilization=80, max_model_len=16384, max_num_seqs=7, max_num_batched_tokens=4096, memory="1536Mi"
    )


def test_the_common_case_goes_down_two_steps_and_then_leaves_utilization_alone_while_it_can(noon):
    pool = Pool(noon, gpuMemoryUtilization=95)
    for _ in range(7):
        pool.crash("CAPTURE_OOM")
    assert pool.changes == [
        ("gpuMemoryUtilization", "95", "90"),
        ("gpuMemoryUtilization", "90", "85"),
        ("maxNumSeqs", "unset", "128"),
        ("gpuMemoryUtilization", "85", "80"),
        ("gpuMemoryUtilization", "80", "75"),
        ("gpuMemoryUtilization", "75", "70"),
        None,
    ]


def test_a_cache_that_was_too_small_before_a_cut_keeps_nothing_from_being_lowered_after_it(noon):
    pool = Pool(noon, gpuMemoryUtilization=95)
    assert pool.crash("KV_SMALL", **TOLD)[0] == "maxModelLen"
    assert pool.crash("CAPTURE_OOM") == ("gpuMemoryUtilization", "95", "90")


FREE = {"free": 8.0, "total": 20.0}


@pytest.mark.parametrize(
    ("spec", "crashes", "reason", "words"),
    [
        pytest.param({}, [("SHM", {})], "SharedMemoryTooSmall", "resources.sharedMemory", id="shared memory"),
        pytest.param({}, [("LOAD_OOM", {})] * 2, "ModelDoesNotFit", "tensorParallelSize", id="the weights, twice"),
        pytest.param({}, [("FREE_LT", FREE)] * 2, "GPUOccupied", "8 of 20 GiB were free", id="an occupied GPU"),
        pytest.param({}, [("RACE", {})] * 4, "RemediationExhausted", "GPUs that nobody else uses", id="four races"),
        pytest.param({}, [("RUN_OOM", {})] * 7, "RemediationExhausted", "all 6 attempts", id="no attempt is left"),
        pytest.param(
            {"remediation": {"maxAttempts": 0}}, [("RUN_OOM", {})], "RemediationExhausted", "maxAttempts is 0", id="0"
        ),
        pytest.param(
            allow("MaxModelLen"), [("RUN_OOM", {})], "RemediationNotAllowed",
            "remediation.allow lacks GpuMemoryUtilization, MaxNumSeqs", id="the remedy is not allowed",
        ),
        pytest.param(allow(), [("HOST_OOM", {})], "RemediationNotAllowed", "lacks HostMemory", id="nothing is allowed"),
        pytest.param(
            {"gpuMemoryUtilization": 95} | allow("GpuMemoryUtilization"), [("KV_NONE", {})], "RemediationNotAllowed",
            "at its maximum of 95", id="the maximum is reached",
        ),
        pytest.param(
            {"gpuMemoryUtilization": 95, "maxNumSeqs": 1}, [("KV_SMALL", {"need": 9.0, "avail": 1.0})],
            "RemediationExhausted", "one request needs 9 GiB of KV cache, and 1 GiB are left", id="no length is told",
        ),
        pytest.param(
            {"gpuMemoryUtilization": 95}, [("KV_SMALL", TOLD | {"est": 512})], "RemediationExhausted",
            "a request of 131072 tokens needs 16 GiB of KV cache, and 7.43 GiB are left, enough for 512 tokens",
            id="the length that fits serves nobody",
        ),
        pytest.param(
            {"gpuMemoryUtilization": 90} | allow("GpuMemoryUtilization"),
            [("RUN_OOM", {}), ("KV_NONE", {}), ("KV_NONE", {})],
            "MemoryBracketClosed", "at gpuMemoryUtilization 87 the KV cache did not fit, and at 90 memory ran out",
            id="between too low and too high is nothing",
        ),
        pytest.param(
            {"gpuMemoryUtilization": 94, "maxNumSeqs": 1}, [("KV_NONE", {}), ("RUN_OOM", {}), ("KV_NONE", {})],
            "MemoryBracketClosed", "at gpuMemoryUtilization 95 the KV cache did not fit, and at 95 memory ran out",
            id="the same value is too low and too high",
        ),
        pytest.param(
            {"gpuMemoryUtilization": 50, "maxNumSeqs": 2} | narrow(50, 50),
            [("KV_SMALL", TOLD), ("RUN_OOM", {}), ("RUN_OOM", {})],
            "MemoryBracketClosed", "under settings tried before the KV cache did not fit, and at 50 memory ran out",
            id="a shorter context makes the minimum too high",
        ),
        pytest.param(
            {"gpuMemoryUtilization": 90} | allow("GpuMemoryUtilization"),
            [("RUN_OOM", {}), ("KV_NONE", {}), ("KV_NONE", {}), ("HOST_OOM", {})],
            "RemediationNotAllowed", "lacks HostMemory", id="the bracket has no part in host memory",
        ),
        pytest.param(
            {"gpuMemoryUtilization": 90} | allow("GpuMemoryUtilization"),
            [("RUN_OOM", {}), ("KV_NONE", {}), ("FREE_LT", FREE), ("FREE_LT", {"free": 17.0, "total": 20.0})],
            "GPUOccupied", "17 of 20 GiB were free", id="what is free was too low",
        ),
        pytest.param(
            {"gpuMemoryUtilization": 95}, [("KV_SMALL", TOLD | {"est": 140000})], "RemediationExhausted",
            "enough for 140000 tokens", id="an estimate beyond the context",
        ),
        pytest.param({}, [("NEW_CLASS", {})], "RemediationUnknown", "kubectl logs --previous", id="a new class"),
    ],
)  # fmt: skip
def test_where_nothing_more_is_changed_the_pool_says_why(noon, spec, crashes, reason, words):
    pool = Pool(noon, **{"gpuMemoryUtilization": 90, **spec})
    for signature, told in crashes:
        pool.crash(signature, **told)
    stall = pool.stall()
    assert (pool.changes[-1], stall.reason) == (None, reason)
    assert words in stall.message
    assert stall.message.startswith(f"p-0 ended with {crashes[-1][0]}")


def test_a_stall_for_want_of_attempts_asks_for_no_leave(noon):
    pool = Pool(noon, remediation={"maxAttempts": 0, "allow": ["GpuMemoryUtilization"]})
    pool.crash("RUN_OOM")
    assert "remediation.allow" not in pool.stall().message


def test_a_crash_that_the_ladder_has_acted_on_is_no_stall(noon):
    pool = Pool(noon)
    assert pool.crash("LOAD_OOM") is not None
    assert pool.stall() is None


def test_a_bracket_that_is_closed_stays_so_when_the_context_is_cut(noon):
    pool = Pool(noon, {"too_high": 88}, **AT_85)
    pool.crash("KV_SMALL", **TOLD)
    assert (pool.at.ladder.too_low, pool.at.ladder.too_high) == (85, 88)


def test_a_gpu_that_is_not_free_yet_says_nothing_of_the_bracket(noon):
    pool = Pool(noon, **AT_85)
    pool.crash("FREE_LT", **FREE)
    assert pool.at.ladder.too_high is None


def test_verdicts_only_narrow_the_bracket():
    low, high = (Crash("u/0", "p-0", signature, 1) for signature in ("KV_NONE", "RUN_OOM"))
    known = Ladder(too_low=70, too_high=80)
    assert with_verdict(known, low, 60) == with_verdict(known, high, 90) == known
    assert with_verdict(with_verdict(known, low, 72), high, 78) == Ladder(too_low=72, too_high=78)


def test_every_class_has_advice():
    assert set(ADVICE) == set(LADDER)


@pytest.mark.parametrize(
    ("end", "reason", "words"),
    [
        pytest.param({}, "StartTimedOut", "within startup.timeoutSeconds, 600 s", id="nobody deleted its pod"),
        pytest.param(
            {"seconds": 700.4}, "StartTimedOut", "stopped 700 s after its pod was made", id="the limit is over"
        ),
        pytest.param({"seconds": 30.0}, "UnclassifiedCrash", "from outside 30 s after", id="the limit is not over"),
        pytest.param({"seconds": 9999.0, "phase": "P4"}, "UnclassifiedCrash", "while it served", id="it had served"),
        pytest.param({"exit_code": 1}, "UnclassifiedCrash", "exit code 1 and no known cause", id="it ended by itself"),
    ],
)
def test_a_server_without_a_known_cause_was_stopped_or_ended(noon, end, reason, words):
    pool = Pool(noon, startup={"timeoutSeconds": 600})
    crash = Crash(**{"key": "u/0", "instance": "p-0", "signature": "NONE", "exit_code": 143, **end})
    stall = find_stall(pool.spec, climb(pool.spec, pool.at, [crash], noon), crash)
    assert stall.reason == reason
    assert words in stall.message
