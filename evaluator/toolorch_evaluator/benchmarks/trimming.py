"""A conversation that outgrew a model's context, cut in the middle: what began it and what came last stay.

Whole turns go: a message with tool calls and the answers to them stay together or leave together, since servers refuse
an answer without its call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def cut_middle(messages: Sequence[Row], share: float) -> list[Row]:
    """Return the messages without as many turns of the middle as leave at most `share` of the turns' length.

    `messages` are in OpenAI chat-completions form. A system message at the head stays and does not count, and the first
    and the last turn stay however long they are.
    """
    head, turns = _turns(messages)
    sizes = [sum(map(_length, turn)) for turn in turns]
    limit = share * sum(sizes)
    while len(turns) > 2 and sum(sizes) > limit:
        # The middle of what is left, the later one of two: what was said last matters more.
        middle = (len(turns) - 1) // 2 if len(turns) > 3 else 1
        del turns[middle], sizes[middle]
    return [*head, *(message for turn in turns for message in turn)]


def _turns(messages: Sequence[Row]) -> tuple[list[Row], list[list[Row]]]:
    head = [m for m in messages[:1] if m["role"] == "system"]
    turns: list[list[Row]] = []
    for message in messages[len(head) :]:
        if message["role"] == "tool" and turns:
            turns[-1].append(message)
        else:
            turns.append([message])
    return head, turns


def _length(message: Row) -> int:
    return len(json.dumps(message, ensure_ascii=False))
