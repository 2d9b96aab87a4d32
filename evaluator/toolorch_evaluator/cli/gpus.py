"""Which GPU each replica gets on this machine; a cluster's scheduler and device plugin do this there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from toolorch_api.modelpool import ModelPool
from toolorch_evaluator.cli.errors import BadInputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
# nvidia-smi waits for the driver; a machine whose driver hangs should say so instead of nothing.
_TIMEOUT_SECONDS = 20


def list_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return this machine's GPUs as CUDA_VISIBLE_DEVICES names them; what that variable hides stays hidden."""
    if environment.get(VISIBLE) is not None:
        return [gpu for gpu in environment[VISIBLE].split(",") if gpu.strip()]
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return []
    asked = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    return [str(index) for index, _ in enumerate(line for line in asked.stdout.splitlines() if line.startswith("GPU "))]


def allot_gpus(pools: Sequence[ModelPool], gpus: Sequence[str]) -> dict[str, list[str]]:
    """Give each replica its own GPUs, by instance name; raises BadInputError with the numbers where they do not do.

    `pools` are those whose servers run here and use GPUs.
    """
    wanted = {
        f"{pool.metadata.name}-{index}": pool.spec.gpus_per_replica
        for pool in pools
        for index in range(pool.spec.replicas)
    }
    if sum(wanted.values()) > len(gpus):
        needs = ", ".join(f"{p.metadata.name} {p.spec.replicas * p.spec.gpus_per_replica}" for p in pools)
        raise BadInputError(
            [
                f"the pools need {sum(wanted.values())} GPUs ({needs}) and this machine has {len(gpus)}: lower"
                " spec.replicas, name a running server with --endpoint POOL=URL, or set resources.gpuResource to ''"
                " for a server without GPU"
            ]
        )
    free = iter(gpus)
    return {instance: [next(free) for _ in range(count)] for instance, count in wanted.items()}
