"""The only HTTP caller of model servers: asks each whether it is up and what it serves. EDGE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from toolorch_operator.modelpool.observed import Probe, ServedModel

# A server that starts or works hard answers late; one that is gone must not hold a reconcile for long.
PROBE_TIMEOUT_SECONDS = 5.0

# The operator holds no key of an external server: that it asks for one is proof enough that it is there.
_ASKS_FOR_KEY = (401, 403)


async def probe(url: str, client: httpx.AsyncClient, timeout_seconds: float = PROBE_TIMEOUT_SECONDS) -> Probe:
    """Ask a vLLM server at an OpenAI base URL for /health, /v1/models and /version; never raises for its answers."""
    root = url.rstrip("/").removesuffix("/v1")
    try:
        health = await client.get(f"{root}/health", timeout=timeout_seconds)
        if health.is_error:
            return Probe(False, error=f"/health answered {health.status_code}")
        models = await client.get(f"{root}/v1/models", timeout=timeout_seconds)
        if models.is_error:
            return Probe(False, error=f"/v1/models answered {models.status_code}")
        version = await client.get(f"{root}/version", timeout=timeout_seconds)
        served = parse_models(models.json())
        return Probe(True, served, "" if version.is_error else parse_version(version.json()))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Probe(False, error=_words(error))


async def probe_external(url: str, client: httpx.AsyncClient, timeout_seconds: float = PROBE_TIMEOUT_SECONDS) -> Probe:
    """Ask a server that somebody else runs for its /models, without a key; never raises for its answers."""
    try:
        answer = await client.get(f"{url.rstrip('/')}/models", timeout=timeout_seconds)
        if answer.status_code in _ASKS_FOR_KEY:
            return Probe(True)
        if answer.is_error:
            return Probe(False, error=f"/models answered {answer.status_code}")
        return Probe(True, parse_models(answer.json()))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Probe(False, error=_words(error))


def parse_models(answer: Any) -> tuple[ServedModel, ...]:
    """Return the entries of /v1/models; ValueError where it is no such answer."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list):
        raise ValueError("/v1/models gave no list of models")
    entries = (entry for entry in answer["data"] if isinstance(entry, Mapping) and entry.get("id"))
    return tuple(ServedModel(str(e["id"]), _tokens(e.get("max_model_len"))) for e in entries)


def parse_version(answer: Any) -> str:
    """Return the version in an answer of /version, or "" where it holds none."""
    return str(answer.get("version", "")) if isinstance(answer, Mapping) else ""


def _tokens(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(error: Exception) -> str:
    """Name an error without the address in it: a message in status must not change with a pod's IP."""
    return f"no usable answer: {type(error).__name__}"
