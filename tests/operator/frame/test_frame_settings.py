"""Settings: defaults without an environment, and a sentence for what cannot work."""

from __future__ import annotations

import pytest

from toolorch_api.run_input import Price
from toolorch_operator.settings import SettingsError, parse_settings


def test_an_empty_environment_gives_the_defaults():
    settings = parse_settings({}, {"launcher.py": "print()"})
    assert settings.resync_seconds == 300
    assert settings.http_port == 8080
    assert settings.log_level == "INFO"
    assert settings.watch_namespace == ""
    assert not settings.in_cluster
    assert settings.defaults.local_root is None
    assert not settings.leader_election
    assert settings.defaults.programs == {"launcher.py": "print()"}
    assert settings.defaults.output_uri == ""
    assert settings.defaults.fetch_command == ()


def test_every_variable_is_read():
    settings = parse_settings(
        {
            "TOOLORCH_EVALUATOR_IMAGE": "e:1",
            "TOOLORCH_VLLM_IMAGE": "v:1",
            "TOOLORCH_OPERATOR_IMAGE": "o:1",
            "TOOLORCH_FETCH_COMMAND": '["get", "{model}"]',
            "TOOLORCH_OUTPUT_URI": "s3://evals/runs/",
            "TOOLORCH_OUTPUT_SECRET": "s3",
            "TOOLORCH_RESYNC_SECONDS": "60",
            "TOOLORCH_LOG_LEVEL": "debug",
            "TOOLORCH_WATCH_NAMESPACE": "team",
            "TOOLORCH_NAMESPACE": "toolorch",
            "TOOLORCH_LEADER_ELECTION": "true",
            "TOOLORCH_LEASE_NAME": "other-toolorch",
            "TOOLORCH_IDENTITY": "pod_uid",
            "TOOLORCH_HTTP_PORT": "0",
            "KUBECONFIG": "/k",
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        }
    )
    assert settings.defaults.evaluator_image == "e:1"
    assert settings.defaults.vllm_image == "v:1"
    assert settings.defaults.operator_image == "o:1"
    assert settings.defaults.fetch_command == ("get", "{model}")
    assert settings.defaults.output_uri == "s3://evals/runs"
    assert settings.defaults.output_secret == "s3"
    assert (settings.resync_seconds, settings.http_port, settings.log_level) == (60, 0, "DEBUG")
    assert (settings.watch_namespace, settings.namespace, settings.kubeconfig) == ("team", "toolorch", "/k")
    assert settings.in_cluster
    assert settings.defaults.local_root == ""
    assert (settings.leader_election, settings.lease_name, settings.identity) == (True, "other-toolorch", "pod_uid")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOOLORCH_RESYNC_SECONDS", "soon", "whole number from 10 to 86400, not 'soon'"),
        ("TOOLORCH_RESYNC_SECONDS", "1", "from 10"),
        ("TOOLORCH_HTTP_PORT", "70000", "to 65535"),
        ("TOOLORCH_LEADER_ELECTION", "yes", "true or false, not 'yes'"),
        ("TOOLORCH_LEADER_ELECTION", "true", "needs TOOLORCH_NAMESPACE"),
        ("TOOLORCH_HTTP_PORT", "-1", "whole number"),
        ("TOOLORCH_LOG_LEVEL", "chatty", "DEBUG, INFO, WARNING, ERROR"),
        ("TOOLORCH_OUTPUT_URI", "ftp://x", "s3://"),
        ("TOOLORCH_FETCH_COMMAND", "get it", "JSON list of words, not 'get it'"),
        ("TOOLORCH_FETCH_COMMAND", '{"get": "it"}', "JSON list of words"),
        ("TOOLORCH_FETCH_COMMAND", '["get", ""]', "JSON list of words"),
    ],
)
def test_a_value_that_cannot_work_is_a_sentence(name, value, words):
    with pytest.raises(SettingsError, match=name) as caught:
        parse_settings({name: value})
    assert words in str(caught.value)


def test_the_resources_of_runs_are_taken_as_the_chart_writes_them():
    text = '{"requests": {"cpu": 1}, "limits": {"memory": "2Gi"}}'
    settings = parse_settings({"TOOLORCH_RUN_RESOURCES": text})
    assert settings.defaults.run_resources == {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}


def test_prices_are_taken_as_the_chart_writes_them():
    text = '{"Qwen/Qwen3-8B": {"input": "0.25", "output": "2"}}'
    assert parse_settings({"TOOLORCH_PRICES": text}).defaults.prices == {
        "Qwen/Qwen3-8B": Price(input="0.25", output="2")
    }
    assert parse_settings({}).defaults.prices == {}


@pytest.mark.parametrize(
    "text", ["2", "[]", '{"a": "2"}', '{"a": {"input": "2"}}', '{"a": {"input": "2", "output": "-1"}}']
)
def test_prices_that_are_none_are_refused(text):
    with pytest.raises(SettingsError, match="TOOLORCH_PRICES must be a JSON object"):
        parse_settings({"TOOLORCH_PRICES": text})


@pytest.mark.parametrize("text", ["2Gi", "[]", '{"limit": {"memory": "2Gi"}}', '{"limits": "2Gi"}'])
def test_resources_that_are_none_are_refused(text):
    with pytest.raises(SettingsError, match="requests and limits"):
        parse_settings({"TOOLORCH_RUN_RESOURCES": text})


def test_in_a_cluster_runs_have_folders_below_the_charts_own_one_only():
    environ = {"TOOLORCH_OUTPUT_URI": "file:///data/runs", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert parse_settings(environ).defaults.local_root == "file:///data/runs"
