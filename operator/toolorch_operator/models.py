"""The only HTTP caller of model servers: whether each is up, what it serves, whether it is useful and works. EDGE."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from toolorch_api.foreign_json import parse_json
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import Exam, Probe, ServedModel, Verdict
from toolorch_operator.modelpool.preflight.answers import Reply
from toolorch_operator.modelpool.preflight.checks import preflight
from toolorch_operator.modelpool.preflight.progress import Progress, parse_progress
from toolorch_operator.modelpool.preflight.requests import Request, Requests

# A server that starts or works hard answers late; one that is gone must not hold a reconcile for long.
PROBE_TIMEOUT_SECONDS = 5.0
# The whole answer's limit, in times of that between two pieces: one that trickles in would hold its place for ever.
_TRICKLE = 2

_ASKS_FOR_KEY = (401, 403)


async def probe(url: str, client: httpx.AsyncClient, timeout_seconds: float = PROBE_TIMEOUT_SECONDS) -> Probe:
    """Ask a vLLM server at an OpenAI base URL for /health, /v1/models and /version; never raises for its answers."""
    root = _root(url)
    try:
        health = await _get(client, f"{root}/health", timeout_seconds)
        if health.is_error:
            return Probe(False, error=f"/health answered {health.status_code}")
        models = await _get(client, f"{root}/v1/models", timeout_seconds)
        if models.is_error:
            return Probe(False, error=f"/v1/models answered {models.status_code}")
        version = await _get(client, f"{root}/version", timeout_seconds)
        if _may_pass(version.status_code):
            return Probe(False, error=f"/version answered {version.status_code}")
        served = parse_models(parse_json(models.content))
        return Probe(True, served, "" if version.is_error else parse_version(parse_json(version.content)))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        return Probe(False, error=_words(error))


async def probe_external(
    url: str, client: httpx.AsyncClient, timeout_seconds: float = PROBE_TIMEOUT_SECONDS, *, api_key: str = ""
) -> Probe:
    """Ask a server that somebody else runs for its /models; never raises for its answers.

    That it asks for a key is proof enough that it is there; that it refuses the one it was given is a verdict.
    """
    try:
        answer = await _get(client, f"{url.rstrip('/')}/models", timeout_seconds, _bearer(api_key))
        if answer.status_code in _ASKS_FOR_KEY:
            return Probe(True, preflight=_refused(answer.status_code) if api_key else None)
        if answer.is_error:
            return Probe(False, error=f"/models answered {answer.status_code}")
        return Probe(True, parse_models(parse_json(answer.content)))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        return Probe(False, error=_words(error))


async def examine(
    url: str, client: httpx.AsyncClient, exam: Exam, *, api_key: str = "", external: bool = False
) -> Probe:
    """Probe a server and, where it lists the exam's served name, see whether it is useful; never raises for answers.

    A server that takes a key is external too; one that lists nothing is trusted to have the model. The key stands in
    no message.
    """
    external = external or bool(api_key)
    seen = await (probe_external(url, client, api_key=api_key) if external else probe(url, client))
    served = {m.id: m.max_model_len for m in seen.models}
    if not seen.healthy or seen.preflight is not None or (exam.served_name not in served and (served or not external)):
        return seen
    requests = Requests(exam, served.get(exam.served_name), external)
    return replace(seen, preflight=await _converse(f"{url.rstrip('/')}/chat/completions", client, requests, api_key))


async def read_progress(
    url: str, client: httpx.AsyncClient, timeout_seconds: float = PROBE_TIMEOUT_SECONDS
) -> Progress | None:
    """Ask a vLLM server for what its engines have done; None where it does not tell."""
    try:
        answer = await _get(client, f"{_root(url)}/metrics", timeout_seconds)
        return None if answer.is_error else parse_progress(answer.text)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
        return None


def _may_pass(code: int) -> bool:
    # Runs' provenance names the version, and a server that is useful is asked for it never again.
    return code == httpx.codes.TOO_MANY_REQUESTS or code >= httpx.codes.INTERNAL_SERVER_ERROR


def parse_models(answer: Any) -> tuple[ServedModel, ...]:
    """Return the entries of /v1/models; ValueError where it is no such answer."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list):
        raise ValueError("/v1/models gave no list of models")
    entries = (entry for entry in answer["data"] if isinstance(entry, Mapping) and entry.get("id"))
    return tuple(ServedModel(str(e["id"]), _tokens(e.get("max_model_len"))) for e in entries)


def parse_version(answer: Any) -> str:
    """Return the version in an answer of /version, or "" where it holds none."""
    return str(answer.get("version", "")) if isinstance(answer, Mapping) else ""


async def _get(
    client: httpx.AsyncClient, url: str, timeout_seconds: float, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    async with asyncio.timeout(_TRICKLE * timeout_seconds):
        return await client.get(url, timeout=timeout_seconds, headers=headers)


async def _converse(url: str, client: httpx.AsyncClient, requests: Requests, api_key: str) -> Verdict:
    """Send the requests of a preflight until it has its verdict, or its time is over."""
    limit = requests.exam.timeout_seconds
    talk = preflight(requests)
    request = next(talk)
    try:
        async with asyncio.timeout(limit):
            while True:
                reply = await _complete(url, client, request, requests.exam, api_key)
                try:
                    request = talk.send(reply)
                except StopIteration as end:
                    verdict: Verdict = end.value
                    return verdict
    except (TimeoutError, httpx.TimeoutException):
        words = f"the check {request.check} had not ended after {limit} s for all checks, though the server is up"
        return Verdict(False, PoolReason.PREFLIGHT_TIMED_OUT, words)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        words = f"the connection broke in the check {request.check}: {type(error).__name__}"
        return Verdict(False, PoolReason.COMPLETION_FAILED, words)


async def _complete(url: str, client: httpx.AsyncClient, request: Request, exam: Exam, api_key: str) -> Reply:
    headers = {"X-Request-Id": f"preflight/{exam.label}/{request.check}", **_bearer(api_key)}
    answer = await client.post(url, json=request.body, headers=headers, timeout=float(exam.timeout_seconds))
    text = answer.content.decode("utf-8", "replace")
    # Some servers repeat what they were sent; the client may hold a key of its own.
    key = answer.request.headers.get("Authorization", "").removeprefix("Bearer ")
    return Reply(answer.status_code, text.replace(key, "…") if key else text)


def _refused(status: int) -> Verdict:
    return Verdict(False, PoolReason.API_KEY_REFUSED, f"the server answered {status}: it refuses the key")


def _bearer(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def _root(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


def _tokens(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(error: Exception) -> str:
    """Name an error without the address in it: a message in status must not change with a pod's IP."""
    return f"no usable answer: {type(error).__name__}"
