"""Which servers are asked before the next plan, and what each has to show. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from toolorch_api.modelpool import SERVER_PORT, ModelPool
from toolorch_api.modelpool_status import Instance
from toolorch_operator.modelpool.instances import current_pods, instance_names, known_instances
from toolorch_operator.modelpool.observed import Exam, ProbeTarget
from toolorch_operator.modelpool.pods import PodView
from toolorch_operator.raw import digest

_HASH_DIGITS = 8


def probe_targets(pool: ModelPool, pods: Sequence[PodView]) -> list[ProbeTarget]:
    """Return the servers to ask: ready pods, by their own address, and an external server that wants no key."""
    external = pool.spec.external
    if external is not None:
        url = external.base_url.rstrip("/")
        target = ProbeTarget(pool.metadata.name, url, identity=url, external=True, exam=build_exam(pool))
        return [] if external.api_key_secret_ref is not None else [target]
    current, known = current_pods(pods), known_instances(pool)
    found = ((name, current.get(name)) for name in instance_names(pool))
    return [_target(pool, pod, known.get(name)) for name, pod in found if pod is not None and pod.ready and pod.ip]


def _target(pool: ModelPool, pod: PodView, before: Instance | None) -> ProbeTarget:
    name, host = pod.instance, f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    identity = proof(pool, pod)
    exam = None if before is not None and before.proven == identity else build_exam(pool)
    return ProbeTarget(name, f"http://{host}:{SERVER_PORT}/v1", identity=identity, exam=exam)


def build_exam(pool: ModelPool) -> Exam:
    """Return what a server of the pool must show; tools are asked for where the spec promises or requires them."""
    spec = pool.spec
    wish = spec.preflight.tool_calling
    return Exam(
        served_name=spec.served_name,
        calls_tools=wish == "Required" or (wish == "Auto" and spec.tool_calling is not None),
        template_kwargs=spec.chat_template_kwargs,
        timeout_seconds=spec.preflight.timeout_seconds,
        label=pool.metadata.name,
    )


def proof(pool: ModelPool, pod: PodView) -> str:
    """Name one start of a server together with what it was asked: what status remembers once it has passed."""
    exam = build_exam(pool)
    asked = digest([exam.served_name, exam.calls_tools, dict(exam.template_kwargs)], _HASH_DIGITS)
    return f"{pod.uid}/{pod.restart_count}/{asked}"
