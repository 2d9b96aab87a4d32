"""What goes wrong in one run of a workload, as a value and as a JSON file: the same file does the same again."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from signatures import matches

HOOKS = {
    "before": frozenset(("kill", "reply", "reset", "hang", "slow", "cut")),
    "after": frozenset(("kill", "reply", "reset", "hang", "slow")),
    "line": frozenset(("kill", "drop", "dup", "hold", "truncate", "error", "cut")),
    "list": frozenset(("stale",)),
    # Whoever plays the workload does these; the proxy sees nothing of them.
    "change": frozenset(("away",)),
}
"""Hooks, and the actions that each can take."""


@dataclass(frozen=True, slots=True)
class When:
    """The moment of a fault: an occurrence of a signature; `*` stands for anything, and `write` for a verb that writes.

    `times`: so many occurrences from that one on; 0: all. `effective`, after a request only: answers other than those
    of a write that changed its object do not count.
    """

    signature: str = "*"
    occurrence: int = 1
    times: int = 1
    effective: bool = False

    def is_due(self, count: int) -> bool:
        """Tell whether the fault happens at an occurrence, counted from 1."""
        return self.occurrence <= count and (not self.times or count < self.occurrence + self.times)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: when, at which hook, what, and its arguments as actions.py and watch_lines.py say."""

    when: When
    hook: str
    action: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.action not in HOOKS.get(self.hook, ()):
            raise ValueError(f"{self.action} is nothing to do {self.hook} something")
        if self.when.effective and self.hook != "after":
            raise ValueError(f"{self.hook} a write nobody knows whether it changes anything")

    def __str__(self) -> str:
        at = f"{self.hook} {self.when.signature} #{self.when.occurrence}"
        return f"{self.action} {at}" + (f" {json.dumps(self.arguments)}" if self.arguments else "")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A workload by its name, and the faults in it; `seed` decides what the faults leave to chance.

    `found` is one line on what the plan once found.
    """

    name: str
    workload: str
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    found: str = ""

    def save(self, folder: Path) -> Path:
        """Write the plan into a folder, under its name."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")
        return path


def load_plan(path: Path) -> FaultPlan:
    """Read a plan; ValueError or TypeError where the file is none."""
    read = json.loads(path.read_text())
    faults = (Fault(**{**fault, "when": When(**fault["when"])}) for fault in read.pop("faults"))
    return FaultPlan(**read, faults=tuple(faults))


class Triggers:
    """Counts what happens and says which faults of a plan are due; `fired` are all that were, in their order."""

    def __init__(self, plan: FaultPlan | None) -> None:
        self._faults = plan.faults if plan is not None else ()
        self._counts: Counter[int] = Counter()
        self.fired: list[Fault] = []

    def take(self, hook: str, signature: str, *, effective: bool = False) -> list[Fault]:
        """Return the faults that are due at a hook."""
        due = []
        for number, fault in enumerate(self._faults):
            if fault.hook != hook or not matches(signature, fault.when.signature):
                continue
            if fault.when.effective and not effective:
                continue
            self._counts[number] += 1
            if fault.when.is_due(self._counts[number]):
                due.append(fault)
        self.fired += due
        return due
