"""Whose rules a conversation is held and graded by: what sets versions of τ²-bench apart over the packaged tasks.

Source: sierra-research/tau2-bench, v0.2.0 and v1.0.1: src/tau2/orchestrator/orchestrator.py and
src/tau2/environment/environment.py. PURE.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolorch_evaluator.benchmarks.tau2.message import Message

V0_2, V1 = "tau2-v0.2", "tau2-v1"
# The tools that v1 marks as writing; it replays no others. A domain that is not here is replayed whole.
_WRITING = {
    "telecom": frozenset(
        (
            *("disable_roaming", "enable_roaming", "refuel_data", "resume_line", "send_payment_request"),
            *("suspend_line", "connect_vpn", "disconnect_vpn", "grant_app_permission", "make_payment"),
            *("reboot_device", "reseat_sim_card", "reset_apn_settings", "set_apn_settings"),
            *("set_network_mode_preference", "toggle_airplane_mode", "toggle_data", "toggle_data_saver_mode"),
            *("toggle_roaming", "toggle_wifi", "toggle_wifi_calling"),
        )
    ),
    "mock": frozenset(("create_task", "update_task_status")),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """One version's rules."""

    profile: str
    shows_greeting: bool
    """The agent's model is shown the greeting that was sent in its name."""
    answers_before_end: bool
    """A conversation at one of its limits goes on until the calls of its last message are answered."""
    replays_reads: bool
    """Grading calls every tool again; otherwise only those that write, and only their answers must agree."""

    def may_end(self, last: Message) -> bool:
        """Tell whether the limits hold after this message."""
        return last.calls is None or not self.answers_before_end

    def replays(self, domain: str, tool: str) -> bool:
        """Tell whether grading calls a tool again."""
        return self.replays_reads or tool in _WRITING.get(domain, {tool})


_RULES = {
    V0_2: Rules(V0_2, shows_greeting=False, answers_before_end=False, replays_reads=True),
    V1: Rules(V1, shows_greeting=True, answers_before_end=True, replays_reads=False),
}
DEFAULT_RULES = _RULES[V0_2]


def rules_of(profile: str | None) -> Rules:
    """Return the rules of a profile, the default's where none is named; raises ValueError with the known ones."""
    found = _RULES.get(profile or V0_2)
    if found is None:
        raise ValueError(f"unknown profile {profile!r} of tau2: known are {', '.join(_RULES)}")
    return found
