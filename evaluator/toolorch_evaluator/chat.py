"""The way to the models: one pooled client per endpoint, and one try at a call.

Only pools that the spec names are called. Nothing of the process's environment (keys, base URLs, proxies) has a say.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai

from toolorch_api.evalrun_status import Usage
from toolorch_api.shard import Endpoint, RunInput
from toolorch_evaluator.endpoints import NO_KEY, PoolFiles
from toolorch_evaluator.profile import Profile
from toolorch_evaluator.wire import Answer, NotACompletionError, Trouble, classify, parse_answer

CONNECT_SECONDS = 10.0
# The connection was there and broke; one that never came about is a server that starts again.
BROKEN = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call goes on trying; the defaults outlast a replica's restart behind a stale endpoint list."""

    tries: int = 10
    first_pause: float = 0.5
    longest_pause: float = 30.0
    """Seconds; also the most that a server's Retry-After is obeyed for."""
    poll: float = 1.0
    """Seconds between looks at the endpoint list while none is ready."""

    def pause(self, tries: int, asked: float | None) -> float:
        """Seconds to wait after that many failed tries: what the server asked for, or a jittered exponential."""
        if asked is not None:
            return min(asked, self.longest_pause)
        return float(min(self.first_pause * 2 ** (tries - 1), self.longest_pause) * random.uniform(0.75, 1.25))


class Chat:
    """All model access of a shard."""

    def __init__(
        self,
        run: RunInput,
        files: PoolFiles,
        profile: Profile,
        default_temperature: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.run = run
        self.files = files
        self.profile = profile
        self.default_temperature = default_temperature
        self.patience = patience or Patience()
        self.roles = run.spec.roles.by_name()
        self.load: dict[str, Counter[str]] = {pool: Counter() for pool in run.pools}
        """Units by pool and endpoint, while they last."""
        self.spent = Usage()
        """All answered calls of this shard so far, those of units that were lost later included."""
        self.last_answer_at: datetime | None = None
        self._clients: dict[tuple[str, str], openai.AsyncOpenAI] = {}

    async def attempt(
        self, pool: str, endpoint: Endpoint, body: Mapping[str, Any], request_id: str
    ) -> Answer | Trouble:
        """Send a request once; raises InvalidReplyError where the model wrote what nobody can read."""
        client = self.client(pool, endpoint.url)
        seconds = self.run.spec.deadlines.call_seconds
        try:
            # The client's own timeout is per read: a server that drips bytes would never hit it.
            async with asyncio.timeout(seconds):
                # The typed call spends four times the CPU of a whole conversation step on checking our own request.
                response = await client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body=body,
                    options={"headers": {"X-Request-Id": request_id}},
                )
            answer = parse_answer(response.content)
        except (TimeoutError, openai.APITimeoutError):
            return Trouble("model_timeout", f"no answer within {seconds} s", passing=True)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            lost = isinstance(cause, BROKEN)
            return Trouble("model_unreachable", f"{type(cause).__name__}: {cause}", passing=True, lost=lost)
        except openai.APIStatusError as error:
            text = error.response.text.replace(client.api_key, "***")
            after = error.response.headers.get("retry-after")
            return classify(error.status_code, text, after, body.get("max_tokens"))
        except NotACompletionError as error:
            return Trouble("model_server_error", f"no chat completion: {error}", passing=True)
        return self._checked(pool, answer)

    def book(self, answer: Answer) -> None:
        """Count an answer among what this shard has spent."""
        self.spent = Usage(
            prompt_tokens=self.spent.prompt_tokens + answer.prompt_tokens,
            completion_tokens=self.spent.completion_tokens + answer.completion_tokens,
            calls=self.spent.calls + 1,
        )
        self.last_answer_at = datetime.now(UTC)

    def _checked(self, pool: str, answer: Answer) -> Answer | Trouble:
        known = self.run.pools[pool]
        # Hosted servers answer with a dated name of the model that was asked for.
        if known.external or answer.served == known.served_model_name:
            return answer
        message = f"asked for {known.served_model_name}, answered by {answer.served}"
        return Trouble("served_model_mismatch", message, passing=False)

    def client(self, pool: str, url: str) -> openai.AsyncOpenAI:
        """Return the one client of an endpoint."""
        if (pool, url) not in self._clients:
            self._clients[pool, url] = self._open(pool, url)
        return self._clients[pool, url]

    def _open(self, pool: str, url: str) -> openai.AsyncOpenAI:
        # A unit has one call under way at a time, or a few where experts answer side by side.
        limits = httpx2.Limits(max_connections=2 * self.run.spec.concurrency_per_shard)
        call_seconds = self.run.spec.deadlines.call_seconds
        timeout = httpx2.Timeout(call_seconds, connect=min(CONNECT_SECONDS, call_seconds))
        client = openai.AsyncOpenAI(
            api_key=self.files.key(pool) if self.run.pools[pool].external else NO_KEY,
            base_url=url,
            max_retries=0,
            http_client=httpx2.AsyncClient(limits=limits, timeout=timeout, trust_env=False),
        )
        # Given None, the constructor takes these from the environment.
        client.organization = client.project = None
        return client

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
