"""Which crash a start ends in, and how far it gets before."""

from __future__ import annotations

from collections.abc import Iterator

from toolorch_mock.arguments import ServeOptions
from toolorch_mock.faults import Crash, FaultSettings
from toolorch_mock.memory import Gpu
from toolorch_mock.phases import Phase

# The last phase whose lines are still printed.
_LAST_PHASES = {
    Phase.BEGUN: (Crash.FREE_LT, Crash.EXT, Crash.SHM, Crash.CUDA_OOM, Crash.NONE),
    Phase.LOADING: (Crash.LOAD_OOM, Crash.HOST_OOM),
    Phase.LOADED: (Crash.PROFILE_OOM, Crash.SAMPLER_OOM, Crash.RACE, Crash.CPU),
    Phase.MEASURED: (Crash.KV_NONE, Crash.KV_SMALL, Crash.KV_SMALL_V0, Crash.AUTOFIT),
    Phase.SIZED: (Crash.MAMBA, Crash.CAPTURE_OOM),
    Phase.READY: (Crash.RUN_OOM,),
}
LAST_PHASE = {crash: phase for phase, crashes in _LAST_PHASES.items() for crash in crashes}


def choose_death(options: ServeOptions, faults: FaultSettings, start: int) -> Crash | None:
    """Choose the crash that comes first in this start (numbered from 1); None for a server that lives.

    RUN_OOM is one of a server that starts and dies later.
    """
    found = [*_asked(options, faults), *_of_memory(options, faults.gpu)]
    if start <= faults.race_starts:
        found.append(Crash.RACE)
    return min(found, key=LAST_PHASE.__getitem__, default=None)


def _asked(options: ServeOptions, faults: FaultSettings) -> Iterator[Crash]:
    exceeded = faults.exceeded(options)
    if faults.has_limits:
        if exceeded is not None:
            yield faults.crash or exceeded
    elif faults.crash is not None:
        yield faults.crash
    elif faults.run_oom_after_requests is not None:
        yield Crash.RUN_OOM


def _of_memory(options: ServeOptions, gpu: Gpu) -> Iterator[Crash]:
    """Yield what this GPU is too small for."""
    if gpu.is_taken(options):
        yield Crash.FREE_LT
    if not gpu.is_limited:
        return
    free = gpu.total_gib if gpu.free_gib is None else min(gpu.free_gib, gpu.total_gib)
    if gpu.weights_share(options) > free:
        yield Crash.LOAD_OOM
    kv_cache = gpu.kv_cache(options)
    if options.fits_model_len:
        if not gpu.longest(kv_cache):
            yield Crash.AUTOFIT
    elif kv_cache <= 0:
        yield Crash.KV_NONE
    elif gpu.kv_needed(options) > kv_cache:
        yield Crash.KV_SMALL
