"""Whether a model's weights fit a node's GPUs, by its size alone: what no start has to find out. PURE."""

from __future__ import annotations

import math
from collections.abc import Iterable

from toolorch_api.meta import GROUP
from toolorch_api.modelpool import ModelPool, ModelPoolSpec
from toolorch_api.modelpool_status import Fit, RejectedNode
from toolorch_operator.placement.match import gpu_gib, why_of_another_kind
from toolorch_operator.placement.views import NodeView

ANNOTATION_WEIGHTS = f"{GROUP}/weights-gib"
"""Annotation of a ModelPool: the size of its model's weights in GiB, such as 61.5."""

# Alignment and buffers beside the tensors themselves; this and the next two are KAITO's figures for vLLM.
_WEIGHTS_FACTOR = 1.02
# CUDA context, NCCL and vLLM's own buffers, in GiB.
_OVERHEAD_GIB = 2.3
# Activations grow with the model: part of a GPU's share of the weights.
_OVERHEAD_SHARE = 0.05
# 2,048 tokens at 128 KiB, as Llama 3 8B has it: a smaller cache holds no conversation with tools.
_LEAST_KV_GIB = 0.25
# As many as the field of status takes.
_LISTED = 64


def find_weights(pool: ModelPool) -> float | None:
    """Return the size of a model's weights in GiB, as the pool's annotation says, else as its fetch found; or None."""
    try:
        size = float(pool.metadata.annotations.get(ANNOTATION_WEIGHTS) or pool.status.fetch.weights_gib or "")
    except ValueError:
        return None
    return size if math.isfinite(size) and size > 0 else None


def find_need(spec: ModelPoolSpec, weights_gib: float) -> float:
    """Return the GiB that the model needs on each of a replica's GPUs: weights, overhead and a least KV cache."""
    share = weights_gib * _WEIGHTS_FACTOR / spec.tensor_parallel_size
    return share + _OVERHEAD_GIB + _OVERHEAD_SHARE * share + _LEAST_KV_GIB


def find_min_gpu_gib(spec: ModelPoolSpec, weights_gib: float | None, utilization: int) -> float:
    """Return the GiB that each GPU must have, of which servers use `utilization` percent; 0 where nothing is known."""
    if weights_gib is None or not spec.gpus_per_replica:
        return 0.0
    return find_need(spec, weights_gib) * 100 / utilization


def judge_fit(pool: ModelPool, weights_gib: float | None, nodes: Iterable[NodeView], utilization: int) -> Fit:
    """Return which of the nodes with GPUs of the kind that the pool asks for are big enough; empty if it is unknown.

    A node whose labels do not tell its GPUs' memory is a candidate.
    """
    least = find_min_gpu_gib(pool.spec, weights_gib, utilization)
    if weights_gib is None or not least:
        return Fit()
    need = find_need(pool.spec, weights_gib)
    memory = {node.name: gpu_gib(node) for node in nodes if _is_of_kind(node, pool.spec)}
    small = {name: size for name, size in memory.items() if size is not None and size < least}
    return Fit(
        needed_gib=f"{need * pool.spec.tensor_parallel_size:.1f}",
        per_gpu_gib=f"{need:.1f}",
        candidates=sorted(memory.keys() - small.keys())[:_LISTED],
        rejected=[
            RejectedNode(
                node=name, why=f"{utilization} % of its {size:.1f} GiB on each GPU is less than the {need:.1f} needed"
            )
            for name, size in sorted(small.items())[:_LISTED]
        ],
    )


def _is_of_kind(node: NodeView, spec: ModelPoolSpec) -> bool:
    wishes = spec.placement
    has_gpus = node.allocatable.get(spec.resources.gpu_resource, 0) > 0
    return has_gpus and not why_of_another_kind(node, wishes.node_selector, wishes.gpu_products)
