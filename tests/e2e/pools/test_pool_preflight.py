"""Servers that are up and of no use, each for its own reason, on a real cluster: a run waits for them and says why."""

import pytest

pytestmark = pytest.mark.cluster

HERMES = {"toolCalling": {"parser": "hermes"}}

# By pool: its spec, the reason, and words that tell the user what to do or what was seen.
USELESS = {
    "misread": ({**HERMES, "env": {"MOCK_TOOL_FORMAT": "llama3_json"}}, "ToolCallsNotParsed", "such as llama3_json"),
    "silent": ({**HERMES, "model": "mock/silent"}, "ModelDoesNotCallTools", "under tool_choice required"),
    "cut": ({**HERMES, "model": "mock/cut"}, "ToolArgumentsInvalid", "are no JSON"),
    "thinking": ({**HERMES, "model": "mock/thinking"}, "ReasoningLeaksIntoContent", "set reasoningParser"),
    "misnamed": ({"env": {"MOCK_SERVED_NAME": "other"}}, "ServedNameMismatch", "serves other, not misnamed"),
    "hanging": (
        {"env": {"MOCK_ENGINE_HANGS_AFTER_REQUESTS": 0}, "preflight": {"timeoutSeconds": 5}},
        "PreflightTimedOut",
        "though the server is up",
    ),
}
# Asked from outside, as a pool without toolCalling is: its server was started without the switch.
OUTSIDE = ("plain-from-outside", "AutoToolChoiceDisabled", "set toolCalling.parser")

EXPECTED = {name: (reason, words) for name, (_, reason, words) in USELESS.items()} | {OUTSIDE[0]: OUTSIDE[1:]}


@pytest.fixture(scope="module", autouse=True)
def _useless(pools):
    outside = pools.make(OUTSIDE[0], engine="external", preflight={"toolCalling": "Required"})
    outside["spec"] = {k: outside["spec"][k] for k in ("engine", "model", "preflight")} | {
        "servedModelName": "plain",
        "external": {"baseURL": f"http://plain.{pools.namespace}.svc:8000/v1"},
    }
    pools.apply(
        *(pools.make(name, **spec) for name, (spec, _, _) in USELESS.items()),
        pools.make("plain"),
        outside,
        pools.run("waits", agent="silent", user="plain"),
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_a_server_of_no_use_is_not_ready_and_says_why(pools, name):
    reason, words = EXPECTED[name]
    status = pools.until_reason(name, reason)
    assert status["ready"] == "0/1"
    ready, passed = pools.condition(name, "Ready"), pools.condition(name, "PreflightPassed")
    assert (ready["status"], passed["status"], passed["reason"]) == ("False", "False", reason)
    assert words in passed["message"]
    assert words in ready["message"]
    assert [words in note for note in pools.events(name, reason)] == [True], "told once, however often it is asked"
    assert {p["status"]["containerStatuses"][0]["restartCount"] for p in pools.pods(name)} <= {0}


@pytest.mark.parametrize("name", ["misread", "hanging"])
def test_no_run_finds_a_useless_server_in_the_endpoints(pools, name):
    pools.until_reason(name, USELESS[name][1])
    assert [e["ready"] for e in pools.endpoints(name)] == [False]


def test_kubectl_get_shows_the_reason(pools):
    for name, (reason, _) in EXPECTED.items():
        pools.until_reason(name, reason)
    lines = pools.cluster.kubectl("get", "mpl", namespace=pools.namespace).splitlines()
    at = lines[0].split().index("REASON")
    shown = {line.split()[0]: line.split() for line in lines[1:]}
    assert {name: reason for name, (reason, _) in EXPECTED.items()} | {"plain": "AllReplicasReady"} == {
        name: words[at] if len(words) == len(lines[0].split()) else words[at - 1] for name, words in shown.items()
    }


def test_a_run_waits_for_its_pool_and_says_what_keeps_it(pools):
    pools.until_reason("silent", "ModelDoesNotCallTools")
    pools.until_ready("plain")
    words = "silent 0/1 ready, ModelDoesNotCallTools"

    def look():
        status = pools.status("waits", "evalrun")
        return {c["type"]: c for c in status.get("conditions", [])}

    seen = pools.look(look, lambda c: words == c.get("PoolsReady", {}).get("message"))
    assert (seen["PoolsReady"]["status"], seen["PoolsReady"]["reason"]) == ("False", "WaitingForPools")
    assert pools.status("waits", "evalrun")["reason"] == f"WaitingForPools: {words}", "the REASON column"
    jobs = {j["metadata"]["name"] for j in pools.cluster.get("jobs", namespace=pools.namespace)}
    assert jobs <= {"waits-plan"}, "its units are counted meanwhile; none is run"
