"""Runs that end whole although calls fail, hang, and the run is stopped in the middle; runs that must not begin."""

import pytest
from cluster_runs import condition
from kind_cluster import S3

pytestmark = pytest.mark.cluster

TOTAL = 300
THIRD = 30
"""Percent of the units after which a run is stopped."""


def test_300_units_over_a_server_that_errs_and_hangs_are_all_scored_once(shaken):
    status, stored = shaken
    assert (status["done"], status["units"]["total"]) == (f"{TOTAL}/{TOTAL}", TOTAL)
    assert status["attempt"] == 1
    stored.assert_whole()
    assert len(stored.results) == TOTAL
    begun = [call["unit"] for call in stored.calls if (call["role"], call["n"]) == ("agent", 1)]
    assert len(begun) == len(set(begun)) == TOTAL, "units were run twice"
    tried = sum(call["tries"] > 1 for call in stored.calls)
    assert tried > 0.02 * len(stored.calls), "nothing failed: the test tests nothing"


def test_what_served_a_run_stands_in_its_provenance(runs, shaken):
    runs.until("shaken", lambda s: condition(s, "ReportReady"))
    told = runs.stored("shaken").read("provenance.json")
    for name, model in (("shaky", "mock/skill-70"), ("user", "mock/user")):
        serving = told["pools"][name]["serving"]
        assert "sha256:" in serving["imageId"]
        assert (serving["servedId"], model in serving["arguments"]) == (name, True)
    assert "sha256:" in told["evaluatorImage"]
    assert told["served"] == {"agent": {"shaky": TOTAL}, "user": {"user": TOTAL}}
    assert [attempt["attempt"] for attempt in told["attempts"]] == [1]
    assert told["changes"] == []


def test_a_run_that_is_suspended_and_resumed_runs_no_finished_unit_again(runs):
    total = 90
    runs.start("paused", "slow", tasks=total // 3, concurrencyPerShard=2)
    runs.until_done("paused", total * THIRD // 100)
    runs.patch("paused", {"spec": {"suspend": True}})
    runs.until("paused", lambda s: condition(s, "Suspended"))
    before = runs.until("paused", lambda _: not runs.pods("paused")) and runs.stored("paused")
    assert total * THIRD // 100 <= len(before.results) < total
    runs.patch("paused", {"spec": {"suspend": False, "concurrencyPerShard": 8}})
    runs.until_over("paused")
    after = runs.stored("paused")
    after.assert_whole()
    assert {key: after.results[key] for key in before.results} == before.results
    resumed = [call for call in after.calls if call["at"] > max(r["endedAt"] for r in before.results.values())]
    assert {call["unit"] for call in resumed}.isdisjoint(before.results)


def test_an_agent_that_never_calls_tools_begins_no_run_and_the_reason_is_told(runs):
    runs.start("mute", "silent", tasks=1)
    status = runs.until("mute", lambda s: condition(s, "Planned") and "WaitingForPools" in s["reason"])
    assert status["reason"] == "WaitingForPools: silent 0/1 ready, ModelDoesNotCallTools"
    assert condition(status, "PoolsReady", "False")["message"] == "silent 0/1 ready, ModelDoesNotCallTools"
    assert not any(name.startswith("mute-a") for name in runs.jobs("mute"))


def test_an_agent_that_is_forced_to_begin_without_tools_ends_suspect(runs):
    """Keys and address of other services in its Secret lead no call astray."""
    foreign = {"NEBIUS_API_KEY": "nb-key", "OPENAI_API_KEY": "sk-key", "OPENAI_BASE_URL": "http://elsewhere.invalid/v1"}
    data = runs.cluster.read_secret(S3, runs.namespace) | foreign
    runs.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "many-keys"}, "stringData": data})
    output = {"uri": "s3://evals/runs", "secretRef": {"name": "many-keys"}}
    runs.start("mute-forced", "forced", tasks=5, domains=["retail"], output=output)
    runs.until_over("mute-forced")
    status = runs.until("mute-forced", lambda s: condition(s, "ReportReady"))
    assert "no tool" in condition(status, "ResultsSuspect")["message"]
    stored = runs.stored("mute-forced")
    assert {call["endpoint"] for call in stored.calls} == {"forced-0", "user-0"}
    assert not any(key.encode() in body for key in foreign.values() for body in stored.objects.values())
