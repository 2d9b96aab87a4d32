"""Which benchmark a run is over, which part of it, and its options."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from toolorch_api.meta import ApiModel, Rule

BenchmarkName = Literal["tau2", "tau-bench", "hle", "frames"]

DOMAINS: dict[str, tuple[str, ...]] = {
    "tau2": ("retail", "airline", "telecom", "mock"),
    "tau-bench": ("retail", "airline"),
    "hle": (),
    "frames": (),
}

TaskIds = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=256)]],
    Field(max_length=5000),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 256},
            "maxItems": 5000,
            "x-kubernetes-list-type": "set",
        }
    ),
]


class Dataset(ApiModel):
    """Questions that the user brings."""

    uri: Annotated[str, Field(pattern=r"^(s3|gs|az|file|hf|sample)://[^\s]+$", max_length=1024)]
    """JSONL or Parquet file: s3://, gs://, az://, file:// or hf://; sample://questions are twenty of toolorch's own."""


class BenchmarkOptions(ApiModel):
    """Settings of one benchmark or the other."""

    max_steps: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """tau2, tau-bench: steps of a conversation; default 200 in tau2, 30 in tau-bench."""
    max_errors: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """tau2: tool errors of a conversation; default 10."""
    strategy: Literal["tool-calling", "act", "react", "few-shot"] | None = None
    """tau-bench: how the agent acts; default tool-calling."""
    max_rounds: Annotated[int, Field(ge=1, le=1000)] | None = None
    """hle, frames: rounds of tool use; default 50."""
    profile: Literal["tau2-v0.2", "tau2-v1"] | None = None
    """tau2: whose rules and data hold; default tau2-v0.2."""
    solo: bool | None = None
    """tau2: the agent works alone on a ticket, with the tools of both sides; default false."""
    policy: Literal["manual", "workflow"] | None = None
    """tau2: the form of telecom's technical support policy; default manual."""
    judge_assertions: bool | None = None
    """tau2: grade the tasks' assertions in natural language too, by roles.judge; default false."""
    sandbox: Literal["Strict", "Weaker"] | None = None
    """hle, frames: Weaker runs model-written code even without a layer that the kernel denies; default Strict."""


_TAU2_OPTIONS = {"max_steps", "max_errors", "profile", "solo", "policy", "judge_assertions"}
_ALLOWED = {"tau2": _TAU2_OPTIONS, "tau-bench": {"max_steps", "strategy"}}


def _options_belong(spec: BenchmarkSpec) -> bool:
    given = {name for name, value in spec.options if value is not None}
    return given <= _ALLOWED.get(spec.name, {"max_rounds", "sandbox"})


class BenchmarkSpec(ApiModel):
    """Which benchmark, which part of it."""

    name: BenchmarkName
    """tau2, tau-bench, hle or frames."""
    domains: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=16)] = Field(default_factory=list)
    """Domains in the order of work; empty: retail, airline and telecom in tau2, retail and airline in tau-bench."""
    split: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=63)] = "base"
    """Named part of each domain's tasks, such as base, train, test or small."""
    task_ids: TaskIds = Field(default_factory=list)
    """Only these tasks; empty: all."""
    num_tasks: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """The first n tasks of each domain."""
    dataset: Dataset | None = None
    """Questions of hle or frames."""
    options: BenchmarkOptions = BenchmarkOptions()
    """Settings of this benchmark."""

    rules: ClassVar = (
        Rule(
            "self.name != 'tau2' || self.domains.all(d, d in ['retail', 'airline', 'telecom', 'mock'])",
            "domains of tau2 are retail, airline, telecom and mock",
            lambda b: b.name != "tau2" or set(b.domains) <= set(DOMAINS["tau2"]),
        ),
        Rule(
            "self.name != 'tau-bench' || self.domains.all(d, d in ['retail', 'airline'])",
            "domains of tau-bench are retail and airline",
            lambda b: b.name != "tau-bench" or set(b.domains) <= set(DOMAINS["tau-bench"]),
        ),
        Rule(
            "!(self.name in ['hle', 'frames']) || self.domains.size() == 0",
            "hle and frames have no domains: leave domains out",
            lambda b: DOMAINS[b.name] != () or not b.domains,
        ),
        Rule(
            "self.domains.all(d, self.domains.filter(e, e == d).size() == 1)",
            "domains must not name a domain twice",
            lambda b: len(set(b.domains)) == len(b.domains),
        ),
        Rule(
            "(self.name in ['hle', 'frames']) == has(self.dataset)",
            "hle and frames need dataset.uri, tau2 and tau-bench bring their own tasks and take none",
            lambda b: (DOMAINS[b.name] == ()) == (b.dataset is not None),
        ),
        Rule(
            "!(has(self.numTasks) && self.taskIds.size() > 0)",
            "taskIds and numTasks exclude each other",
            lambda b: b.num_tasks is None or not b.task_ids,
        ),
        Rule(
            "(self.name == 'tau2' || !(has(self.options.maxErrors) || has(self.options.profile) ||"
            " has(self.options.solo) || has(self.options.policy) || has(self.options.judgeAssertions))) &&"
            " (self.name == 'tau-bench' || !has(self.options.strategy)) &&"
            " (self.name in ['tau2', 'tau-bench'] || !has(self.options.maxSteps)) &&"
            " (self.name in ['hle', 'frames'] || !(has(self.options.maxRounds) || has(self.options.sandbox)))",
            "options: tau2 takes maxSteps, maxErrors, profile, solo, policy and judgeAssertions, tau-bench maxSteps and"
            " strategy, hle and frames maxRounds and sandbox",
            _options_belong,
        ),
    )
