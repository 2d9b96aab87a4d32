"""The environment as one frozen value, read once at the start. EDGE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from toolorch_api.run_input import Price
from toolorch_operator.defaults import Defaults

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FILE = "file://"
OUTPUT_SCHEMES = ("s3://", "gs://", "az://", FILE)
IN_CLUSTER_MARK = "KUBERNETES_SERVICE_HOST"


class SettingsError(Exception):
    """The environment cannot work; the message is a sentence for the person who set it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this operator runs."""

    defaults: Defaults
    resync_seconds: int = 300
    """Seconds between full resyncs from a fresh LIST."""
    log_level: str = "INFO"
    watch_namespace: str = ""
    """The only namespace that is watched; empty: all."""
    namespace: str = ""
    """Namespace that the operator runs in."""
    leader_election: bool = False
    """Whether it works only while it holds the lease."""
    lease_name: str = "toolorch"
    """The Lease in its own namespace: those who share it are one operator."""
    identity: str = ""
    """Name under which it holds the lease, no other process's at a time; empty: one made up at the start."""
    http_port: int = 8080
    """Port of /metrics, /healthz and /readyz; 0: any free one."""
    kubeconfig: str = ""
    """Path of a kubeconfig; empty: the service account in a cluster, else the usual file in the home folder."""
    in_cluster: bool = False


def parse_settings(environ: Mapping[str, str], programs: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that an environment says; raise SettingsError with a sentence where one cannot work."""
    leader_election, namespace = _switch(environ, "TOOLORCH_LEADER_ELECTION"), _text(environ, "TOOLORCH_NAMESPACE", "")
    if leader_election and not namespace:
        raise SettingsError("TOOLORCH_LEADER_ELECTION needs TOOLORCH_NAMESPACE: the namespace that the lease is in.")
    return Settings(
        defaults=Defaults(
            vllm_image=_text(environ, "TOOLORCH_VLLM_IMAGE", "vllm/vllm-openai:v0.33.0"),
            evaluator_image=_text(environ, "TOOLORCH_EVALUATOR_IMAGE", "toolorch/evaluator:dev"),
            operator_image=_text(environ, "TOOLORCH_OPERATOR_IMAGE", "toolorch/operator:dev"),
            output_uri=_output_uri(environ),
            local_root=_local_root(environ),
            output_secret=_text(environ, "TOOLORCH_OUTPUT_SECRET", ""),
            fetch_command=_words(environ, "TOOLORCH_FETCH_COMMAND"),
            stall_seconds=_number(environ, "TOOLORCH_STALL_SECONDS", 180, low=10, high=86400),
            run_stall_seconds=_number(environ, "TOOLORCH_RUN_STALL_SECONDS", 600, low=10, high=86400),
            run_resources=_resources(environ, "TOOLORCH_RUN_RESOURCES"),
            prices=_prices(environ, "TOOLORCH_PRICES"),
            programs=programs or {},
        ),
        resync_seconds=_number(environ, "TOOLORCH_RESYNC_SECONDS", 300, low=10, high=86400),
        log_level=_log_level(environ),
        watch_namespace=_text(environ, "TOOLORCH_WATCH_NAMESPACE", ""),
        namespace=namespace,
        leader_election=leader_election,
        lease_name=_text(environ, "TOOLORCH_LEASE_NAME", "toolorch"),
        identity=_text(environ, "TOOLORCH_IDENTITY", ""),
        http_port=_number(environ, "TOOLORCH_HTTP_PORT", 8080, low=0, high=65535),
        kubeconfig=_text(environ, "KUBECONFIG", ""),
        in_cluster=IN_CLUSTER_MARK in environ,
    )


def _text(environ: Mapping[str, str], name: str, default: str) -> str:
    return environ.get(name, "").strip() or default


def _number(environ: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    text = _text(environ, name, str(default))
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {text!r}.")
    return int(text)


def _local_root(environ: Mapping[str, str]) -> str | None:
    # In a cluster whoever writes a run is not who may name files of the operator's; a volume of the chart's is for all.
    if IN_CLUSTER_MARK not in environ:
        return None
    uri = _output_uri(environ)
    return uri if uri.startswith(FILE) else ""


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = _text(environ, name, "false")
    if text not in ("true", "false"):
        raise SettingsError(f"{name} must be true or false, not {text!r}.")
    return text == "true"


def _words(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    text = _text(environ, name, "[]")
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise SettingsError(f"{name} must be a JSON list of words, not {text!r}.")
    return tuple(words)


def _resources(environ: Mapping[str, str], name: str) -> dict[str, dict[str, str]]:
    text = _text(environ, name, "{}")
    try:
        found = json.loads(text)
        parts = {part: {resource: str(amount) for resource, amount in each.items()} for part, each in found.items()}
    except (ValueError, AttributeError, TypeError):
        parts = {"": {}}
    if not parts.keys() <= {"requests", "limits"}:
        raise SettingsError(f"{name} must be a JSON object with requests and limits, not {text!r}.")
    return parts


def _prices(environ: Mapping[str, str], name: str) -> dict[str, Price]:
    try:
        return TypeAdapter(dict[str, Price]).validate_json(_text(environ, name, "{}"))
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "it"
        wanted = 'a JSON object of {"input": "0.25", "output": "2.00"} by pool or model'
        raise SettingsError(f"{name} must be {wanted}: {where} is not.") from error


def _log_level(environ: Mapping[str, str]) -> str:
    level = _text(environ, "TOOLORCH_LOG_LEVEL", "INFO").upper()
    if level not in LOG_LEVELS:
        raise SettingsError(f"TOOLORCH_LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}, not {level!r}.")
    return level


def _output_uri(environ: Mapping[str, str]) -> str:
    uri = _text(environ, "TOOLORCH_OUTPUT_URI", "")
    if uri and not uri.startswith(OUTPUT_SCHEMES):
        raise SettingsError(f"TOOLORCH_OUTPUT_URI must start with one of {', '.join(OUTPUT_SCHEMES)}, not {uri!r}.")
    return uri.rstrip("/")
