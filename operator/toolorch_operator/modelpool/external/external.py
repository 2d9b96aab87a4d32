"""An external server that wants a key is asked by a Job, the only reader of the key: when, and what came out. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from toolorch_api.meta import SecretKeyRef
from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.external.report import ENV_KEY, ENV_QUESTION, dump_question, parse_probe, parse_time
from toolorch_operator.modelpool.instances import Replica, known_instances, serves
from toolorch_operator.modelpool.jobs import build_job
from toolorch_operator.modelpool.observed import JobView, ObservedPool, Probe
from toolorch_operator.modelpool.pod_parts import CONTAINER_SECURITY
from toolorch_operator.modelpool.targets import build_exam
from toolorch_operator.plan import Manifest, Ref
from toolorch_operator.raw import digest

PURPOSE = "probe"
_HASH_DIGITS = 8
# A refused key or a server that is away is somebody else's to mend: asked each minute at first, at last every ten.
_WAIT = timedelta(seconds=60)
_LONGEST_WAIT = timedelta(seconds=600)
# That a pod cannot start is no event of its Job.
_LOOK_AGAIN = timedelta(seconds=5)
# What the kubelet says where the Secret, or the key in it, does not exist; it starts the pod as soon as it does.
_NO_KEY = "CreateContainerConfigError"
_FOREIGN_CHARACTERS = 300
# One question after another, and httpx to ask them.
_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}


@dataclass(frozen=True, slots=True)
class ExternalPlan:
    """What an external server said last, and what should change so that it is asked again."""

    probe: Probe | None = None
    """Its newest answer; None: none yet."""
    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    reason: PoolReason = PoolReason.PREFLIGHT_RUNNING
    holdup: str = ""
    """Why it does not count as ready, as one sentence; empty where it does."""
    requeue_after: timedelta | None = None


def plan_external(pool: ModelPool, observed: ObservedPool, defaults: Defaults, now: datetime) -> ExternalPlan:
    """Return what to do about an external server with a key; for every other pool, that its probe Jobs go."""
    own = [j for j in observed.jobs if j.pool == pool.metadata.name and j.purpose.startswith(f"{PURPOSE}-")]
    ref = pool.spec.external.api_key_secret_ref if pool.spec.external else None
    tries = sorted((j for j in own if ref is not None and j.purpose == purpose(pool)), key=_number)
    ended = [j for j in tries if j.succeeded or j.failed]
    # The last answer counts until there is a newer one.
    kept = {j.name for j in (*ended[-1:], *tries[-1:])}
    delete = tuple(Ref("Job", j.name, j.uid) for j in own if j.name not in kept)
    if ref is None:
        return ExternalPlan(delete=delete)
    probe = parse_probe(ended[-1]) if ended else None
    name = pool.metadata.name
    if probe is not None and ended[-1] is tries[-1]:
        if has_passed(pool, probe):
            return ExternalPlan(probe, delete=delete)
        return _retry(pool, defaults, ended[-1], probe, delete, now)
    if not tries or ended[-1:] == tries[-1:]:
        job = build_probe_job(pool, defaults, _number(tries[-1]) + 1 if tries else 1)
        why = f"{name} is asked by the Job {job['metadata']['name']}"
        return ExternalPlan(None, (job,), delete, holdup=why, requeue_after=_LOOK_AGAIN)
    reason, why = _why_waiting(pool, ref, tries[-1], probe)
    return ExternalPlan(probe, (), delete, reason, why, _LOOK_AGAIN)


def has_passed(pool: ModelPool, probe: Probe) -> bool:
    """Tell whether an external server has shown all that it has to; one that lists no model is trusted to have it."""
    has_model = not probe.models or serves(pool, probe)
    return probe.healthy and has_model and (probe.preflight is None or probe.preflight.passed)


def external_replica(pool: ModelPool, url: str, observed: ObservedPool) -> Replica:
    """Return an external server as the one replica of its pool; one that had passed is ready until it is asked again.

    So a new operator takes no endpoint away from runs. Who asks for a key has not shown its models, and proves nothing.
    """
    probe = observed.probes.get(pool.metadata.name)
    before, question = known_instances(pool).get(pool.metadata.name), purpose(pool)
    has_shown = before is not None and before.state is InstanceState.READY and before.proven == question
    is_ready = has_shown if probe is None else has_passed(pool, probe)
    state = InstanceState.READY if is_ready else InstanceState.PENDING
    since = before.since if before is not None and before.state is state else None
    proven = question if is_ready and (probe is None or probe.models) else ""
    return Replica(pool.metadata.name, url.rstrip("/"), state, None, probe, since=since, proven=proven)


def build_probe_job(pool: ModelPool, defaults: Defaults, number: int) -> Manifest:
    """Return the Job of one try: its pod is the only reader of the key."""
    external = pool.spec.external
    if external is None or external.api_key_secret_ref is None:
        raise ValueError("only an external server with a key is asked by a Job")
    ref = external.api_key_secret_ref
    question = dump_question(external.base_url.rstrip("/"), build_exam(pool))
    container: dict[str, Any] = {
        "name": PURPOSE,
        "image": defaults.operator_image,
        "command": ["python", "-m", "toolorch_operator.exam"],
        "env": [
            {"name": ENV_QUESTION, "value": question},
            {"name": ENV_KEY, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}},
        ],
        "resources": _RESOURCES,
        # Not the end of the log: what is printed there has not been searched for the key.
        "terminationMessagePolicy": "File",
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    pod_spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return build_job(pool, f"{pool.metadata.name}-{purpose(pool)}-{number}", purpose(pool), pod_spec)


def purpose(pool: ModelPool) -> str:
    """Return what a probe is for: an answer holds as long as neither the question nor the key's place changes."""
    external = pool.spec.external
    ref = external.api_key_secret_ref if external else None
    asked = dump_question(external.base_url.rstrip("/") if external else "", build_exam(pool))
    question = digest([asked, pool.spec.model, [ref.name, ref.key] if ref else []], _HASH_DIGITS)
    return f"{PURPOSE}-{question}"


def _retry(
    pool: ModelPool, defaults: Defaults, last: JobView, probe: Probe, delete: tuple[Ref, ...], now: datetime
) -> ExternalPlan:
    """Wait for the next try, or begin it; the last answer speaks meanwhile."""
    number = _number(last)
    due = (parse_time(last) or now) + min(number * _WAIT, _LONGEST_WAIT)
    reason, why = _why_failed(pool, probe)
    if now < due:
        again = f"{why}; it is asked again at {due:%H:%M:%S} UTC (try {number + 1})"
        return ExternalPlan(probe, (), delete, reason, again, due - now)
    job = build_probe_job(pool, defaults, number + 1)
    return ExternalPlan(probe, (job,), delete, reason, f"{why}; it is asked again now", _LOOK_AGAIN)


def _why_failed(pool: ModelPool, probe: Probe) -> tuple[PoolReason, str]:
    name, verdict = pool.metadata.name, probe.preflight
    if verdict is not None and not verdict.passed:
        return verdict.reason, f"{name}: {verdict.message}"
    if not probe.healthy:
        return PoolReason.MODEL_SERVER_UNREACHABLE, f"{name} does not answer: {probe.error}"
    names = ", ".join(m.id for m in probe.models[:3])
    return PoolReason.SERVED_NAME_MISMATCH, f"{name} serves {names}, not {pool.spec.served_name}"


def _why_waiting(pool: ModelPool, ref: SecretKeyRef, job: JobView, probe: Probe | None) -> tuple[PoolReason, str]:
    name, said = pool.metadata.name, job.holdup[:_FOREIGN_CHARACTERS]
    if said.startswith(_NO_KEY):
        return PoolReason.API_KEY_NOT_FOUND, f"{name} needs the key {ref.key} of the Secret {ref.name}: {said}"
    if probe is not None:
        reason, why = _why_failed(pool, probe)
        return reason, f"{why}; it is asked again now"
    if said:
        return PoolReason.POD_CANNOT_START, f"the Job {job.name} cannot ask {name}: {said}"
    return PoolReason.PREFLIGHT_RUNNING, f"{name} is asked by the Job {job.name}"


def _number(job: JobView) -> int:
    tail = job.name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else 0
