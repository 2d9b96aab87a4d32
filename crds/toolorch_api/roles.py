"""Who plays whom in a run: roles and the pools behind them."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from toolorch_api.meta import MAX_NAME_LENGTH, ApiModel, Rule

EXPERT_NAME = r"^(expert|reasoner|answer|answer-math|search)-[0-9]{1,2}$"


class Role(ApiModel):
    """A role and the pool that plays it."""

    pool: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=MAX_NAME_LENGTH)]
    """Name of a ModelPool in the run's namespace."""
    temperature: Annotated[str, Field(pattern=r"^([01](\.[0-9]{1,3})?|2(\.0{1,3})?)$")] | None = None
    """Decimal from "0" to "2", in quotes; default: the benchmark's."""
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Most tokens of one answer; default: the server's."""
    tool_choice: Literal["auto", "required", "none"] = "auto"
    """auto is what benchmarks mean; another value is reported as a deviation."""
    description: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Experts only: what the agent is told of this one; default: its pool's name."""
    stream: bool = False
    """Stream the answers, which gives times to first token; vLLM then parses tool calls by another way."""


class Retrieval(ApiModel):
    """The search service of hle and frames."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2048)]
    """Base URL with /retrieve and /health."""


class Roles(ApiModel):
    """The roles of a run."""

    agent: Role
    """The agent that is evaluated."""
    user: Role | None = None
    """The simulated user of tau2 and tau-bench."""
    judge: Role | None = None
    """Grades what no rule can."""
    experts: Annotated[dict[str, Role], Field(max_length=32)] = Field(default_factory=dict)
    """Pools behind the agent's expert tools: expert-1, reasoner-1, answer-1, answer-math-1, search-1 and so on."""
    retrieval: Retrieval | None = None
    """Search service."""

    rules: ClassVar = (
        Rule(
            f"self.experts.all(k, k.matches('{EXPERT_NAME}'))",
            "roles.experts takes names such as expert-1, reasoner-1, answer-1, answer-math-1 or search-1",
            lambda r: all(re.fullmatch(EXPERT_NAME, name) for name in r.experts),
        ),
    )

    def by_name(self) -> dict[str, Role]:
        """All roles that a pool plays, by name: agent, user, judge, then the experts."""
        fixed = {"agent": self.agent, "user": self.user, "judge": self.judge}
        return {name: role for name, role in fixed.items() if role is not None} | dict(self.experts)

    def pools(self) -> list[str]:
        """Names of the pools that the run uses, each once, in the order of roles."""
        return list(dict.fromkeys(role.pool for role in self.by_name().values()))
