"""What happened in a run's conversations, summed up: experts called, tools and how they came out, counts. PURE."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from toolorch_api.shard import Result

# How benchmarks name the end of a tool call that did what it should; `error` is the answer to a wrong one.
_GOOD, _BAD = "ok", "error"


@dataclass(frozen=True, slots=True)
class ExpertCalls:
    """How often the agent called experts, over units whose calls are known by role."""

    turns: int
    """Answered calls of the agent."""
    calls: Mapping[str, int]
    """Answered calls by expert, in the spec's order, those that were never called included."""

    @property
    def total(self) -> int:
        """Calls of all experts."""
        return sum(self.calls.values())

    @property
    def rate(self) -> float | None:
        """Calls of experts per turn of the agent; None where it had none."""
        return self.total / self.turns if self.turns else None


@dataclass(frozen=True, slots=True)
class ToolRow:
    """One tool, and how calls of it came out."""

    name: str
    calls: int
    good: int
    others: Mapping[str, int]
    """By outcome, the most frequent first."""


@dataclass(frozen=True, slots=True)
class Happened:
    """All that was counted in conversations."""

    counts: Mapping[str, int]
    """By name, over all ends."""
    tools: Sequence[ToolRow]
    others: Mapping[str, int]
    """Counts that are no tool's."""
    experts: ExpertCalls | None
    """None where the spec names none."""


def sum_up(results: Sequence[Result], experts: Collection[str]) -> Happened:
    """Sum up what results count; `experts` are the names of the spec's expert roles."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result.counts)
    tools = find_tools(total)
    claimed = {f"{row.name}_{outcome}" for row in tools for outcome in (*row.others, _GOOD)}
    return Happened(
        counts=dict(sorted(total.items())),
        tools=tools,
        others={name: count for name, count in sorted(total.items()) if name not in claimed},
        experts=count_expert_calls(results, experts) if experts else None,
    )


def count_expert_calls(results: Sequence[Result], experts: Collection[str]) -> ExpertCalls:
    """Count calls of the agent and of experts; results of before calls were told by role say nothing."""
    by_role: Counter[str] = Counter()
    for result in results:
        by_role.update(result.calls)
    return ExpertCalls(by_role["agent"], {name: by_role[name] for name in experts})


def find_tools(counts: Mapping[str, int]) -> list[ToolRow]:
    """Return the tools among counts named `<tool>_<outcome>`: a tool is what has been ok or an error at least once."""
    ends = (f"_{_GOOD}", f"_{_BAD}")
    names = {name.removesuffix(end) for name in counts for end in ends if name.endswith(end)}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, count in counts.items():
        # Of two tools, one of which is named like the beginning of the other, the longer name is meant.
        owner = max((tool for tool in names if name.startswith(f"{tool}_")), key=len, default=None)
        if owner is not None:
            found[owner][name.removeprefix(f"{owner}_")] += count
    rows = [
        ToolRow(tool, ends.total(), ends[_GOOD], {o: n for o, n in ends.most_common() if o != _GOOD})
        for tool, ends in found.items()
    ]
    return sorted(rows, key=lambda row: (-row.calls, row.name))
