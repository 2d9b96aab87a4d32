"""What has been found out about a question so far, and as much of it as a model is shown.

Texts are cut by characters, four of which count as a token. Where even that is too long for a served model, it says so,
and the caller shows a smaller share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of the notes a model is shown, in tokens; `document` in characters of each, None: all."""

    total: int
    code: int
    document: int | None = None

    def shrink(self, share: float) -> Budget:
        """Return a share of the budget."""
        document = None if self.document is None and share == 1.0 else int((self.document or 4000) * share)
        return Budget(int(self.total * share), int(self.code * share), document)


@dataclass(slots=True)
class Notes:
    """Documents and results of programs, each in the order in which the agent reads them: the best last."""

    documents: list[str] = field(default_factory=list)
    programs: list[tuple[str, str]] = field(default_factory=list)
    """Program and what it printed."""

    def add_documents(self, found: Sequence[str]) -> int:
        """Add search results, best first as they come; return how many were new."""
        new = [text for text in reversed(list(dict.fromkeys(found))) if text not in self.documents]
        self.documents += new
        return len(new)

    def show(self, budget: Budget, problem: str) -> str:
        """Return what fits the budget, which the problem shares."""
        room = max(0, budget.total * CHARACTERS_PER_TOKEN - len(problem))
        programs = "\n\n".join(f"```python\n{code}\n```\nIt printed:\n{printed}" for code, printed in self.programs)
        shown_programs = _tail(programs, min(budget.code * CHARACTERS_PER_TOKEN, room))
        documents = "\n\n".join(text[: budget.document] for text in self.documents)
        shown_documents = _tail(documents, room - len(shown_programs))
        parts = (("Documents", shown_documents), ("Programs", shown_programs))
        return "\n\n".join(f"{title}:\n{text}" for title, text in parts if text)


def _tail(text: str, characters: int) -> str:
    """Keep the end: the best documents stand last, and the newest programs."""
    return text[-characters:] if characters > 0 else ""
