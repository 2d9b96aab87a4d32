"""When a kept server can take a replica's place: it was started for the same, and its GPUs are ours to use."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolorch_api.modelpool import ModelPool
from toolorch_evaluator.cli.notes import Note
from toolorch_operator.modelpool.command import serve_command
from toolorch_operator.modelpool.memory.climb import initial_effective
from toolorch_operator.modelpool.targets import build_exam

# Variables that change what a server does; the others of a shell differ from one terminal to the next.
_PREFIXES = (
    "CUDA_", "HF_", "HUGGING", "LD_", "MOCK_", "NCCL_", "NVIDIA_", "OMP_", "PYTORCH_", "TORCH", "TRANSFORMERS_",
    "TRITON_", "VLLM_",
)  # fmt: skip
# Which GPUs a server holds stands in its note.
_APART = frozenset({"CUDA_VISIBLE_DEVICES"})


@dataclass(frozen=True, slots=True)
class Ask:
    """What a pool asks of a server: one that was started for the same can take its place."""

    command: tuple[str, ...]
    """As the spec has it, before any remediation; without port, and with a hash in place of the chat template."""
    environment: str
    """Hash of the variables that bear on a server, of the program, and of what it must show to be useful."""


@dataclass(frozen=True, slots=True)
class KeptServers:
    """Servers that earlier commands left running."""

    folder: Path = Path()
    """Where the notes of them lie."""
    alive: Sequence[Note] = ()
    """All of them: each holds its GPUs."""
    usable: Sequence[Note] = ()
    """Those that answer."""


NO_SERVERS = KeptServers()


def build_ask(pool: ModelPool, environment: Mapping[str, str], template: str | None, program: str | None) -> Ask:
    """Return what a pool asks of a server; `program` None means the vllm in the environment's PATH."""
    spec = pool.spec
    text = None if template is None else hashlib.sha256(template.encode()).hexdigest()
    command = serve_command(spec, initial_effective(spec), port=0, chat_template=text)
    named = {e.name for e in spec.env}
    matter = {k: v for k, v in environment.items() if (k in named or k.startswith(_PREFIXES)) and k not in _APART}
    found = program or shutil.which("vllm", path=environment.get("PATH")) or ""
    exam = build_exam(pool)
    shown = [exam.served_name, exam.calls_tools, dict(exam.template_kwargs)]
    parts = [sorted(matter.items()), str(Path(found).resolve()), sys.executable, shown]
    return Ask(tuple(command), hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16])


def match_notes(
    pools: Sequence[ModelPool], notes: Sequence[Note], asks: Mapping[str, Ask], gpus: Sequence[str]
) -> dict[str, Note]:
    """Return the kept server for each replica that can have one, by instance; all of a pool have the same settings.

    `notes` are those of servers that answer; `gpus` are the GPUs that this command may use.
    """
    free = [note for note in notes if set(note.gpus) <= set(gpus)]
    chosen: dict[str, Note] = {}
    for pool in pools:
        ask = asks[pool.metadata.name]
        fitting = [n for n in free if (tuple(n.asked), n.environment) == (ask.command, ask.environment)]
        fitting = [n for n in fitting if n.effective == fitting[0].effective][: pool.spec.replicas]
        chosen |= {f"{pool.metadata.name}-{index}": note for index, note in enumerate(fitting)}
        free = [note for note in free if note not in fitting]
    return chosen


def held_gpus(kept: Mapping[str, Note], alive: Sequence[Note]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the GPUs of servers that are taken over, by instance, and the holders of others, by GPU."""
    taken = {note.pid for note in kept.values()}
    given = {instance: note.gpus for instance, note in kept.items()}
    return given, {gpu: note.instance for note in alive if note.pid not in taken for gpu in note.gpus}
