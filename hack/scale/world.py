"""The ground of the benchmark of scale: a bare control plane with a scheduler, and nodes that kwok plays."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ground import Ground
from programs import Program

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RATE = ("--kube-api-qps=1000", "--kube-api-burst=2000")
"""The controllers' own limits are 20 requests a second: they would be all that is measured."""
MEMORY = "8GiB"
"""With less, an API server of many objects looks through its heap half of the time, and is all that is measured."""


@asynccontextmanager
async def raise_world(nodes: int, gpus: int, namespaces: Sequence[str]) -> AsyncIterator[Ground]:
    """Run a control plane with namespaces and so many pretended nodes for as long as the block runs."""
    kwok = await asyncio.to_thread(_find_kwok)
    flags = {"kube-controller-manager": (*RATE, "--concurrent-job-syncs=50")}
    scheduler = ("kube-scheduler", "--leader-elect=false", "--secure-port=0", *RATE)
    async with Ground(flags=flags, extra=(scheduler,), memory=MEMORY) as ground:
        player = Program(
            [
                kwok,
                f"--kubeconfig={ground.kubeconfig()}",
                f"--config={HERE / 'stages.yaml'}",
                "--manage-all-nodes=false",
                "--manage-nodes-with-label-selector=scale=node",
                "--node-lease-duration-seconds=0",
                "--server-address=",
            ],
            ground.folder / "kwok.log",
        )
        ground.programs["kwok"] = player
        try:
            for name in namespaces:
                await ground.make_namespace(name)
            for number in range(nodes):
                await ground.make_node(f"node-{number}", gpus, {"scale": "node"})
            yield ground
            player.check()
        finally:
            player.kill()


def _find_kwok() -> str:
    return subprocess.run([ROOT / "hack/kind/kwok.sh"], capture_output=True, text=True, check=True).stdout.strip()
