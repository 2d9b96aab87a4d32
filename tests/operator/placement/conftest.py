"""Short words for nodes, replicas and what pods hold."""

from __future__ import annotations

from typing import Any

import pytest

from toolorch_operator.placement.place import place
from toolorch_operator.placement.views import Demand, Holding, NodeView, Placement

GPU = "nvidia.com/gpu"
GIB = 1 << 30


class World:
    """What tests of placement share."""

    gpu = GPU
    gib = GIB

    @staticmethod
    def node(name: str, gpus: int = 8, *, cpu: int = 64, memory: int = 512, **more: Any) -> NodeView:
        amounts = {"cpu": cpu * 1000, "memory": memory * GIB, "pods": 110, **({GPU: gpus} if gpus else {})}
        return NodeView(name, amounts, **more)

    @staticmethod
    def demand(pool: str, number: int = 0, gpus: int = 1, *, cpu: int = 1, memory: int = 1, **more: Any) -> Demand:
        requests = {"cpu": cpu * 1000, "memory": memory * GIB, "pods": 1, **({GPU: gpus} if gpus else {})}
        return Demand(f"evals/{pool}-{number}", f"evals/{pool}", GPU, requests, **more)

    @classmethod
    def pool(cls, pool: str, replicas: int, gpus: int = 1, **more: Any) -> list[Demand]:
        return [cls.demand(pool, number, gpus, **more) for number in range(replicas)]

    @staticmethod
    def held(node: str, gpus: int, holder: str = "pool evals/old", **more: int) -> Holding:
        return Holding(node, holder, {GPU: gpus, **more})

    @staticmethod
    def by_node(placement: Placement) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for instance, node in sorted(placement.assigned.items()):
            found.setdefault(node, []).append(instance.removeprefix("evals/"))
        return found

    place = staticmethod(place)


@pytest.fixture
def world() -> type[World]:
    return World
