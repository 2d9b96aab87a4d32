"""A run's score in a few lines, the same for `toolorch run` and `toolorch watch`. No I/O."""

from __future__ import annotations

from toolorch_api.conditions import RunCondition, Truth, find_condition
from toolorch_api.evalrun_status import EvalRunStatus


def describe_score(status: EvalRunStatus) -> list[str]:
    """Return the score with its n, both ways, and what makes it doubtful; nothing where there is none."""
    units = status.units
    if not status.score:
        return []
    lines = [f"score {status.score} over {units.done} scored units{_interval(status.interval)}"]
    if status.score_scheduled and units.done < units.total:
        spread = _interval(status.interval_scheduled)
        lines.append(f"score {status.score_scheduled} over all {units.total} units, an unscored one counting 0{spread}")
    if len(status.pass_hat_k) > 1:
        lines.append(", ".join(f"pass^{k} {value}{_over(status, k)}" for k, value in status.pass_hat_k.items()))
    suspect = find_condition(status.conditions, RunCondition.RESULTS_SUSPECT)
    if suspect is not None and suspect.status is Truth.TRUE:
        lines.append(f"suspect: {suspect.message}")
    return lines


def _over(status: EvalRunStatus, k: str) -> str:
    tasks = status.pass_hat_k_tasks.get(k)
    return f" over {tasks} tasks" if tasks else ""


def _interval(text: str) -> str:
    return f", 95 % interval {text}" if text else ""
