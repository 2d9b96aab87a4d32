"""Whether a node may take a replica at all, whatever it has left: labels, GPUs, taints, cordon. PURE."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from toolorch_api.pod import Toleration
from toolorch_operator.placement.views import Demand, NodeView, Taint

# Set by NVIDIA's GPU feature discovery; the second is in MiB.
LABEL_PRODUCT, LABEL_GPU_MEMORY = "nvidia.com/gpu.product", "nvidia.com/gpu.memory"
_MIB_PER_GIB = 1024

_CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
# Kubernetes leaves pods on such a node for a while, which NodeView.lost tells.
_FLEETING = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def why_unmatched(node: NodeView, demand: Demand) -> str:
    """Return why a node may not take a new pod of a replica, or nothing; the size of its GPUs is left aside."""
    if wrong := why_of_another_kind(node, demand.node_selector, demand.gpu_products):
        return wrong
    if node.cordoned and not tolerates(demand.tolerations, _CORDON):
        return "is cordoned"
    if not node.ready:
        return "is not ready"
    taint = _first_repelling(node.taints, demand, ("NoSchedule", "NoExecute"))
    return f"has the taint {_name(taint)}" if taint else ""


def why_of_another_kind(node: NodeView, selector: Mapping[str, str], products: Collection[str]) -> str:
    """Return which label of a node is not the one asked for, or nothing."""
    for key, value in sorted(selector.items()):
        if node.labels.get(key) != value:
            return f"lacks the label {key}={value}"
    product = node.labels.get(LABEL_PRODUCT, "")
    if products and product not in products:
        return f"has GPUs of the product {product}" if product else f"lacks the label {LABEL_PRODUCT}"
    return ""


def why_too_small(node: NodeView, demand: Demand) -> str:
    """Return why the GPUs of a node have too little memory, or nothing; what its labels do not tell is trusted."""
    memory = gpu_gib(node)
    if not demand.gpus or memory is None or memory >= demand.min_gpu_gib:
        return ""
    return f"has {memory:.1f} GiB on each GPU, not {demand.min_gpu_gib:.1f}"


def may_stay(node: NodeView, demand: Demand) -> bool:
    """Tell whether a replica may stay where it is: what only keeps new pods away does not drive out one that runs."""
    if not demand.runs:
        return not (why_unmatched(node, demand) or why_too_small(node, demand))
    if node.lost or why_of_another_kind(node, demand.node_selector, demand.gpu_products):
        return False
    lasting = (t for t in node.taints if t.key not in _FLEETING)
    return _first_repelling(lasting, demand, ("NoExecute",)) is None


def is_shunned(node: NodeView, demand: Demand) -> bool:
    """Tell whether a node would rather not take the replica."""
    return _first_repelling(node.taints, demand, ("PreferNoSchedule",)) is not None


def gpu_gib(node: NodeView) -> float | None:
    """Return the GiB of memory on each GPU of a node, or None where its labels do not tell."""
    text = node.labels.get(LABEL_GPU_MEMORY, "")
    return int(text) / _MIB_PER_GIB if text.isascii() and text.isdigit() else None


def tolerates(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """Tell whether one of the tolerations covers a taint, as Kubernetes has it: what one leaves out covers anything."""
    return any(
        t.effect in (None, taint.effect)
        and (not t.key or t.key == taint.key)
        and (t.operator == "Exists" or (t.value or "") == taint.value)
        for t in tolerations
    )


def _first_repelling(taints: Iterable[Taint], demand: Demand, effects: tuple[str, ...]) -> Taint | None:
    return next((t for t in taints if t.effect in effects and not tolerates(demand.tolerations, t)), None)


def _name(taint: Taint) -> str:
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"
