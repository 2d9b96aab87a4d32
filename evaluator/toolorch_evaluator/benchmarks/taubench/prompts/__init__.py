"""What the models are told in tau-bench: this project's own texts around a domain's policy and a task's scenario.

A text is changed only together with VERSION; transcripts carry the version and the prompts' hashes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from toolorch_evaluator.benchmarks.tau2.prompts import scenario_text

VERSION = "1"


def agent_prompt(policy: str, strategy: str, tools: Sequence[Mapping[str, Any]], examples: str) -> str:
    """Return the agent's system prompt: with tool calling the policy alone, else also tools, form and an example."""
    if strategy in ("act", "react"):
        return f"{policy}\n\n# Tools\n{json.dumps(list(tools))}\n\n{text(f'{strategy}.md')}"
    return f"{policy}\n\n{examples}" if examples else policy


def user_prompt(scenario: Mapping[str, Any], mood: str) -> str:
    """Return the simulated user's system prompt: the scenario, how to play it, and a mood if there is one."""
    plain = f"{text('user.md')}\n\n<scenario>\n{scenario_text(scenario)}\n</scenario>"
    return f"{plain}\n\n{mood}" if mood else plain


@cache
def text(name: str) -> str:
    """Return one of the texts beside this module, by its file's name."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()
