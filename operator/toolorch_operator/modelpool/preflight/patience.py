"""When a server is asked again: how much its last answer is worth, and how soon that may change. PURE."""

from __future__ import annotations

from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import Exam, Probe, ProbeTarget

# What may pass by itself is asked again soon, then with growing pauses.
_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0
PASSING = (PoolReason.COMPLETION_FAILED, PoolReason.PREFLIGHT_TIMED_OUT)
# A verdict on the model or its settings stays the same until somebody changes them, which restarts the server.
_SETTLED_PAUSE_SECONDS = 300.0
# A server that somebody else runs: no readiness tells when it comes or goes, and its owner pays for every call.
_EXTERNAL_AWAY_SECONDS = 15.0
_EXTERNAL_SECONDS = 60.0
# 2**10 is beyond the longest pause; larger powers would overflow a float after a long outage.
_DOUBLINGS = 10


def is_useful(probe: Probe, exam: Exam | None) -> bool:
    """Tell whether a server has shown all that it must."""
    return probe.healthy and (exam is None or (probe.preflight is not None and probe.preflight.passed))


def open_exam(target: ProbeTarget, known: Probe | None) -> Exam | None:
    """Return what a server still has to show: nothing where it has passed."""
    return None if known is not None and _has_passed(known) else target.exam


def is_other_question(before: ProbeTarget, target: ProbeTarget, known: Probe | None) -> bool:
    """Tell whether a server must be asked anew; that nobody wants an exam any more is no reason, once it passed."""
    if target.exam is None and known is not None and _has_passed(known):
        return False
    return (before.url, before.exam) != (target.url, target.exam)


def pause_after(probe: Probe, target: ProbeTarget, failures: int) -> float:
    """Return the seconds until a server that is not useful, or that has no readiness, is asked again."""
    if _is_settled(probe, target.exam):
        return _SETTLED_PAUSE_SECONDS
    if target.external:
        return _EXTERNAL_SECONDS if is_useful(probe, target.exam) else _EXTERNAL_AWAY_SECONDS
    return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(failures, _DOUBLINGS))


def _has_passed(probe: Probe) -> bool:
    return probe.preflight is not None and probe.preflight.passed


def _is_settled(probe: Probe, exam: Exam | None) -> bool:
    """Tell whether an answer is about the model: it failed for good, or it has another name."""
    if not probe.healthy or exam is None or _has_passed(probe):
        return False
    return probe.preflight is None or probe.preflight.reason not in PASSING
