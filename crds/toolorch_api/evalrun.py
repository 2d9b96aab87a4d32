"""The spec of an EvalRun: one benchmark, run over pools, to a number that can be trusted."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from toolorch_api.benchmark import BenchmarkSpec
from toolorch_api.evalrun_limits import Acceptance, Budget, Deadlines, Gate, Retry, TtlSecondsAfterFinished
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_api.meta import API_VERSION, ApiModel, LocalRef, ObjectMeta, Rule, name_rules
from toolorch_api.roles import Roles
from toolorch_api.variants import UserVariants, variant_names

KIND = "EvalRun"
DEFAULT_SEED = 300  # τ²-bench's own default, so that trial seeds equal upstream's

CONVERSATIONS = ("tau2", "tau-bench")
QUESTIONS = ("hle", "frames")
# What changes results; two configurations of these are never mixed under one run.
RESULT_FIELDS = ("benchmark", "trials", "seed", "user_variants", "roles")


class Output(ApiModel):
    """Where results go."""

    uri: Annotated[str, Field(pattern=r"^(s3|gs|az|file)://[^\s]+$", max_length=1024)]
    """Root of all runs: s3://bucket/prefix, gs://, az:// or file:///folder."""
    secret_ref: LocalRef | None = None
    """Secret whose keys are the storage's environment variables, such as AWS_ACCESS_KEY_ID."""


def _immutable(field: str) -> Rule:
    return Rule(f"self.{field} == oldSelf.{field}", f"spec.{field} is immutable: make a new EvalRun")


class EvalRunSpec(ApiModel):
    """What an EvalRun should measure, and how."""

    benchmark: BenchmarkSpec
    """What is run."""
    trials: Annotated[int, Field(ge=1, le=100)] = 1
    """Times that each task is run."""
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = DEFAULT_SEED
    """Seed that the trials' seeds are drawn from."""
    user_variants: UserVariants = Field(default=["control"])
    """Ways in which the simulated user behaves: control, frustration, anxiety, anger, confusion, or own ones."""
    roles: Roles
    """Which pool plays which role."""
    shards: Annotated[int, Field(ge=1, le=1000)] = 4
    """Pods that work at the same time."""
    concurrency_per_shard: Annotated[int, Field(ge=1, le=512)] = 8
    """Units that one pod works on at the same time."""
    output: Output | None = None
    """Where results go; default: the chart's."""
    retry: Retry = Retry()
    """How often a unit is tried whose failure was not the model's."""
    deadlines: Deadlines = Deadlines()
    """Time limits."""
    acceptance: Acceptance = Acceptance()
    """When a run counts as complete."""
    budget: Budget = Budget()
    """What a run may use up."""
    gate: Gate | None = None
    """Comparison with an earlier run."""
    suspend: bool = False
    """Stop pods and keep results; false again resumes."""
    ttl_seconds_after_finished: TtlSecondsAfterFinished = TtlSecondsAfterFinished()
    """How long children of a finished run stay; results always stay."""

    rules: ClassVar = (
        # CEL cannot see userVariants (strings or objects); the operator refuses a run whose specHash has moved.
        *(_immutable(f) for f in ("benchmark", "trials", "seed", "roles")),
        Rule(
            "has(self.output) == has(oldSelf.output) && (!has(self.output) || self.output == oldSelf.output)",
            "spec.output is immutable: make a new EvalRun",
        ),
        Rule(
            "!(self.benchmark.name in ['tau2', 'tau-bench']) || has(self.roles.user)",
            "roles.user is needed: in tau2 and tau-bench a pool plays the user",
            lambda s: s.benchmark.name not in CONVERSATIONS or s.roles.user is not None,
        ),
        Rule(
            "!(self.benchmark.name in ['hle', 'frames']) || has(self.roles.judge)",
            "roles.judge is needed: in hle and frames a pool judges the answers",
            lambda s: s.benchmark.name not in QUESTIONS or s.roles.judge is not None,
        ),
    )

    @property
    def variant_names(self) -> list[str]:
        """Names of the user variants, in the spec's order."""
        return variant_names(self.user_variants)


class EvalRun(ApiModel):
    """One benchmark, run over pools."""

    api_version: Literal[API_VERSION] = API_VERSION  # type: ignore[valid-type]
    kind: Literal["EvalRun"] = "EvalRun"
    metadata: ObjectMeta
    spec: EvalRunSpec
    """What should be measured, and how."""
    status: EvalRunStatus = EvalRunStatus()
    """How far it is, and the score."""

    rules: ClassVar = name_rules()


def spec_hash(spec: EvalRunSpec) -> str:
    """Return 16 hex digits over what changes results; stands in every object of a run.

    Fields at their defaults are left out, so that a field added by a later version moves no hash of a run under way.
    """
    chosen = spec.model_dump(mode="json", by_alias=True, include=set(RESULT_FIELDS), exclude_defaults=True)
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]


__all__ = ["KIND", "EvalRun", "EvalRunSpec", "Output", "spec_hash"]
