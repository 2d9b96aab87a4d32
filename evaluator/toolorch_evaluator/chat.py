"""The way to the models: what all units of a shard share of it, and one try at a call.

Only pools that the spec names are called. Nothing of the process's environment (keys, base URLs, proxies) has a say.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from toolorch_api.evalrun_status import Usage
from toolorch_api.shard import Endpoint, RunInput, Unit
from toolorch_evaluator.clients import Clients
from toolorch_evaluator.endpoints import PoolFiles
from toolorch_evaluator.profile import Profile
from toolorch_evaluator.refusals import Trouble
from toolorch_evaluator.sending import Request, send
from toolorch_evaluator.under_way import Try, UnderWay
from toolorch_evaluator.windows import Windows, check_answers
from toolorch_evaluator.wire import Answer


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
        self.unwanted: dict[str, set[str]] = {pool: set() for pool in run.pools}
        """Fields of requests that a pool's servers refuse, by pool."""
        self.spent = Usage()
        """All answered calls of this shard so far, those of units that were lost later included."""
        self.last_answer_at: datetime | None = None
        self.clients = Clients(run, files)
        self._windows = Windows(run.pools, self.clients)
        self._under_way = UnderWay()

    async def attempt(self, unit: Unit, pool: str, endpoint: Endpoint, request: Request) -> Answer | Trouble:
        """Send a unit's request once; raises BadInputError where the server's key is not mounted."""
        with self._under_way.at(endpoint.url, unit) as here:
            client = await self.clients.get(pool, endpoint.url, self._under_way.servers)
            outcome = await send(client, request)
            if isinstance(outcome, Trouble):
                return self._judge(outcome, here)
        return self._check(pool, outcome)

    def book(self, answer: Answer) -> None:
        """Count an answer among what this shard has spent."""
        self.spent = Usage(
            prompt_tokens=self.spent.prompt_tokens + answer.prompt_tokens,
            completion_tokens=self.spent.completion_tokens + answer.completion_tokens,
            calls=self.spent.calls + 1,
        )
        self.last_answer_at = datetime.now(UTC)

    async def window(self, pool: str) -> int | None:
        """Tokens that prompt and answer may have together at a pool; None where no ready server says."""
        return await self._windows.of(pool, self.files.endpoints(pool))

    async def check_answers(self) -> None:
        """Raise BadInputError where a role asks for answers that do not fit its model."""
        for name, role in self.roles.items():
            if role.max_tokens is not None:
                check_answers(name, role, await self.window(role.pool))

    async def close(self) -> None:
        """Close all connections."""
        await self.clients.close()

    def _judge(self, trouble: Trouble, here: Try) -> Trouble:
        """Say of a lost server whether this try lost it, and who else was there."""
        if not trouble.lost:
            return trouble
        if trouble.cause == "model_server_error" and self._under_way.is_echo(here):
            return replace(trouble, lost=False)
        return replace(trouble, beside=self._under_way.mourn(here))

    def _check(self, pool: str, answer: Answer) -> Answer | Trouble:
        known = self.run.pools[pool]
        # Hosted servers answer with a dated name of the model that was asked for.
        if known.external or answer.served == known.served_model_name:
            return answer
        message = f"asked for {known.served_model_name}, answered by {answer.served}"
        return Trouble("served_model_mismatch", message, passing=False)
