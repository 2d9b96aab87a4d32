"""Which GPU each replica gets on this machine; a cluster's scheduler and device plugin do this there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence

from toolorch_api.modelpool import ModelPool
from toolorch_evaluator.cli.errors import BadInputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
# nvidia-smi waits for the driver; a machine whose driver hangs should say so instead of nothing.
_TIMEOUT_SECONDS = 20
# What `nvidia-smi -L` prints of a slice of a GPU, below the GPU's own line.
_SLICE = re.compile(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)")


def list_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return this machine's GPUs as CUDA_VISIBLE_DEVICES names them; what that variable hides stays hidden.

    A GPU that is cut into slices (MIG) is listed as them, since no program can use the whole of it.
    """
    if environment.get(VISIBLE) is not None:
        return _visible(environment[VISIBLE])
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return []
    asked = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    gpus: dict[str, list[str]] = {}
    for line in asked.stdout.splitlines():
        if line.startswith("GPU "):
            gpus[str(len(gpus))] = []
        elif gpus and (found := _SLICE.match(line)):
            gpus[list(gpus)[-1]].append(found.group(1))
    return [name for gpu, slices in gpus.items() for name in slices or [gpu]]


def _visible(text: str) -> list[str]:
    """Read the variable as CUDA does: numbers or UUIDs, and what follows a -1 is hidden."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    hidden = next((i for i, name in enumerate(names) if name.startswith("-") or name in ("void", "none")), len(names))
    return names[:hidden]


def allot_gpus(
    pools: Sequence[ModelPool],
    gpus: Sequence[str],
    given: Mapping[str, Sequence[str]] | None = None,
    held: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Give each replica its own GPUs, by instance name; raises BadInputError with the numbers where they do not do.

    `pools` are those whose servers run here and use GPUs; `given` are the GPUs of replicas whose servers run already,
    `held` those of other servers that were kept, by GPU, with the server's name.
    """
    given, held = given or {}, held or {}
    wanted = {
        f"{pool.metadata.name}-{index}": pool.spec.gpus_per_replica
        for pool in pools
        for index in range(pool.spec.replicas)
        if f"{pool.metadata.name}-{index}" not in given
    }
    used = {gpu for names in given.values() for gpu in names}
    free = [gpu for gpu in gpus if gpu not in used and gpu not in held]
    lack = _lack(pools, wanted, free, {gpu: name for gpu, name in held.items() if gpu in gpus})
    if lack:
        raise BadInputError([f"{lack} {_WAYS_OUT}"])
    allotted = {name: list(names) for name, names in given.items()}
    # Where slices are among them, replicas of several GPUs choose first: none of theirs may be a slice.
    for instance, count in sorted(wanted.items(), key=lambda item: item[1] == 1 and any(map(_is_slice, gpus))):
        fitting = [gpu for gpu in free if not _is_slice(gpu)] if count > 1 else free
        allotted[instance] = fitting[:count]
        free = [gpu for gpu in free if gpu not in allotted[instance]]
    return allotted


_WAYS_OUT = (
    "Lower spec.replicas, name a running server with --endpoint POOL=URL, or set resources.gpuResource to '' for a"
    " server without GPU"
)


def _lack(pools: Sequence[ModelPool], wanted: Mapping[str, int], free: Collection[str], held: Mapping[str, str]) -> str:
    """Say with numbers what is missing; empty where nothing is."""
    total, wide = sum(wanted.values()), sum(count for count in wanted.values() if count > 1)
    whole = [gpu for gpu in free if not _is_slice(gpu)]
    needs = ", ".join(f"{p.metadata.name} {_share(p, wanted)}" for p in pools if _share(p, wanted))
    if total > len(free):
        holders = ", ".join(sorted(set(held.values())))
        kept = (
            f" free, {len(held)} being held by kept servers ({holders}): toolorch servers stop ends them"
            if held
            else ""
        )
        return f"the pools need {total} GPUs ({needs}) and this machine has {len(free)}{kept}."
    if wide > len(whole):
        return (
            f"the replicas that use several GPUs need {wide} ({needs}) and this machine has {len(whole)}: of its"
            f" {len(free)} the others are slices (MIG), of which a program can use one."
        )
    return ""


def _share(pool: ModelPool, wanted: Mapping[str, int]) -> int:
    names = (f"{pool.metadata.name}-{index}" for index in range(pool.spec.replicas))
    return sum(wanted.get(name, 0) for name in names)


def _is_slice(gpu: str) -> bool:
    return gpu.startswith("MIG-")
