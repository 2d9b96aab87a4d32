"""One fetch per model, revision and cache, before servers start: who does it, how far it is, and what ends it. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Fetch, FetchState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.fetch.job import PURPOSE, build_fetch_job, is_per_node, job_name, needs_fetch, purpose
from toolorch_operator.modelpool.fetch.progress import (
    Progress,
    add,
    find_last_failure,
    parse_cause,
    parse_commit,
    parse_progress,
    parse_weights,
)
from toolorch_operator.modelpool.observed import JobView, ObservedPool
from toolorch_operator.plan import Manifest, Ref

# Progress is no event of the API server, nor is the end of another pool's Job one of this pool.
_LOOK_AGAIN = timedelta(seconds=10)
# What a command prints can be long; its end tells the cause.
_FOREIGN_CHARACTERS = 300
_GRAVITY = (FetchState.FAILED, FetchState.WAITING, FetchState.RUNNING, FetchState.DONE)


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What is so, and what should change, about the model's files."""

    status: Fetch = field(default_factory=Fetch)
    create: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    """Jobs of an earlier spec."""
    is_done: bool = True
    """No server has to wait any more."""
    done_nodes: frozenset[str] = frozenset()
    """Nodes that have the files although others do not, where each has a cache of its own."""
    reason: PoolReason = PoolReason.FETCHING_MODEL
    holdup: str = ""
    """Why servers have to wait, as one sentence; empty where they do not."""
    requeue_after: timedelta | None = None
    commit: str = ""
    """Commit of the model's repository that was fetched; empty: nobody tells, or caches hold different ones."""

    def has_files(self, node: str) -> bool:
        """Tell whether a server may start on a node."""
        return self.is_done or node in self.done_nodes


@dataclass(frozen=True, slots=True)
class _Leg:
    """The fetch into one cache: the claim's, or one node's."""

    node: str
    owner: str
    """Name of the pool whose Job it is."""
    job: str
    state: FetchState
    view: JobView = field(default_factory=lambda: JobView(""))
    create: Manifest | None = None


def plan_fetch(
    pool: ModelPool, observed: ObservedPool, defaults: Defaults, nodes: Sequence[str] | None = None
) -> FetchPlan:
    """Return the plan of a pool's fetch; `nodes` are those that replicas go to, None where only the scheduler knows."""
    if not pool.spec.replicas:
        return FetchPlan(pool.status.fetch)
    per_node = is_per_node(pool.spec)
    if not needs_fetch(pool.spec) or (per_node and nodes is None):
        return FetchPlan(delete=_find_surplus(pool, observed, {}))
    known = sorted(set(nodes or ()))
    near = "" if per_node else next(iter(known), "")
    legs = [_follow(pool, observed, defaults, node, near) for node in (known if per_node else [""])]
    wanted = {purpose(pool.spec, leg.node): job_name(pool, defaults, leg.node) for leg in legs}
    return _sum_up(pool, legs, _find_surplus(pool, observed, wanted))


def _follow(pool: ModelPool, observed: ObservedPool, defaults: Defaults, node: str, near: str) -> _Leg:
    """Find the Job that fetches into one cache; where there is none, the pool of the smallest name makes it."""
    wanted = purpose(pool.spec, node)
    sharing = [pool, *(p for p in observed.namesakes if _shares(p, wanted, node))]
    names = {job_name(p, defaults, node) for p in sharing}
    # A Job of an earlier spec is about to go, but what one has fetched is there.
    jobs = [j for j in observed.jobs if j.purpose == wanted and (j.succeeded or j.name in names)]
    if jobs:
        job = min(jobs, key=lambda j: (not j.succeeded, j.failed, j.name))
        return _Leg(node, job.pool, job.name, _state(job), job)
    owner = min((p for p in sharing if p.spec.replicas), key=lambda p: p.metadata.name)
    create = build_fetch_job(pool, defaults, node, near) if owner is pool else None
    return _Leg(node, owner.metadata.name, job_name(owner, defaults, node), FetchState.WAITING, create=create)


def _shares(other: ModelPool, wanted: str, node: str) -> bool:
    """Tell whether another pool needs the same fetch; per node, only one that has a replica there."""
    if not needs_fetch(other.spec) or other.metadata.deletion_timestamp is not None:
        return False
    is_there = not node or any(i.node == node for i in other.status.instances)
    return is_there and purpose(other.spec, node) == wanted


def _state(job: JobView) -> FetchState:
    if job.succeeded:
        return FetchState.DONE
    if job.failed:
        return FetchState.FAILED
    return FetchState.WAITING if job.holdup else FetchState.RUNNING


def _find_surplus(pool: ModelPool, observed: ObservedPool, wanted: dict[str, str]) -> tuple[Ref, ...]:
    """Return the pool's fetch Jobs that its spec asks for no more; one that ended well proves what is in the cache."""
    own = [j for j in observed.jobs if j.pool == pool.metadata.name and j.purpose.startswith(f"{PURPOSE}-")]
    proofs = purpose(pool.spec) if needs_fetch(pool.spec) else "none"
    kept = {j.name for j in own if wanted.get(j.purpose) == j.name or (j.succeeded and j.purpose.startswith(proofs))}
    return tuple(Ref("Job", j.name, j.uid) for j in own if j.name not in kept)


def _sum_up(pool: ModelPool, legs: Sequence[_Leg], surplus: tuple[Ref, ...]) -> FetchPlan:
    """Return the whole of all legs: the gravest of them speaks."""
    if not legs:
        why = "the model is fetched once a replica has a node"
        before = pool.status.fetch
        # A pool that sleeps has no node, and what was fetched is still there.
        status = before if before.state is FetchState.DONE else Fetch(state=FetchState.WAITING, message=why)
        return FetchPlan(status, delete=surplus, is_done=False, holdup=why)
    worst = min(legs, key=lambda leg: (_GRAVITY.index(leg.state), leg.node))
    done_nodes = frozenset(leg.node for leg in legs if leg.state is FetchState.DONE)
    at = add([parse_progress(leg.view) for leg in legs])
    weights = next((found for leg in legs if (found := parse_weights(leg.view))), pool.status.fetch.weights_gib)
    status = Fetch(state=worst.state, job=worst.job, done_gib=at.done_gib, total_gib=at.total_gib, weights_gib=weights)
    if worst.state is FetchState.DONE:
        commits = {parse_commit(leg.view) for leg in legs}
        commit = commits.pop() if len(commits) == 1 else ""
        return FetchPlan(status, delete=surplus, done_nodes=done_nodes, commit=commit)
    among = f" ({len(done_nodes)} of {len(legs)} nodes have it)" if len(legs) > 1 else ""
    holdup = _sentence(worst, at) + among
    has_failed = worst.state is FetchState.FAILED
    return FetchPlan(
        status.model_copy(update={"message": holdup}),
        tuple(leg.create for leg in legs if leg.create is not None),
        surplus,
        is_done=False,
        done_nodes=done_nodes,
        reason=PoolReason.FETCH_FAILED if has_failed else PoolReason.FETCHING_MODEL,
        holdup=holdup,
        requeue_after=None if has_failed and worst.owner == pool.metadata.name else _LOOK_AGAIN,
    )


def _sentence(leg: _Leg, at: Progress) -> str:
    job = f"Job {leg.job} of pool {leg.owner}"
    if leg.state is FetchState.FAILED:
        cause = parse_cause(leg.view)[-_FOREIGN_CHARACTERS:]
        return f"{job} could not fetch the model: {cause}; correct the spec, or delete the Job to try again"
    failure = find_last_failure(leg.view)[-_FOREIGN_CHARACTERS:]
    if leg.state is FetchState.RUNNING and failure:
        # Between two tries lie up to 40 s: who waits should know by then what for.
        return f"{job} is to try again to fetch the model: {failure}"
    if leg.state is FetchState.RUNNING:
        of_all = f" of {at.total_gib}" if at.total_gib else ""
        return f"{job} fetches the model: {at.done_gib or 0}{of_all} GiB so far"
    why = f": {leg.view.holdup[:_FOREIGN_CHARACTERS]}" if leg.view.holdup else ""
    return f"{job} is to fetch the model{why}"
