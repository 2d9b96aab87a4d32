"""What this machine gives to the pools of a run: servers that run already, keys, environment, templates, GPUs, vllm.

All of it is checked before anything starts; each lack is a sentence.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolorch_api.modelpool import Engine, ModelPool
from toolorch_api.serving import External
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.gpus import allot_gpus, list_gpus
from toolorch_evaluator.cli.notes import Note
from toolorch_evaluator.cli.references import References
from toolorch_evaluator.cli.reuse import NO_SERVERS, Ask, KeptServers, build_ask, held_gpus, match_notes
from toolorch_mock.executable import install_vllm

if TYPE_CHECKING:
    from toolorch_api.pod import EnvVar

_MOCK_REPOSITORY = "mock-vllm"
# What the evaluator's client sends to a server that asks for no key.
_NO_KEY = "EMPTY"


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that the pools of a run were given, by pool or by instance name."""

    environments: Mapping[str, Mapping[str, str]]
    """By pool: the environment of its servers."""
    keys: Mapping[str, str]
    """By external pool."""
    templates: Mapping[str, str]
    """By pool: the text of its chat template."""
    gpus: Mapping[str, list[str]]
    """By instance."""
    asks: Mapping[str, Ask]
    """By pool: what another command must ask for to take over its servers."""
    kept: Mapping[str, Note]
    """By instance: servers of an earlier command that take its place."""


def point_elsewhere(pools: Mapping[str, ModelPool], endpoints: Mapping[str, str]) -> dict[str, ModelPool]:
    """Turn pools that --endpoint names into external ones; raises BadInputError for a name that no role uses."""
    _refuse_unknown("--endpoint", endpoints, pools)
    return {
        name: pool if name not in endpoints else _external(pool, endpoints[name].rstrip("/"))
        for name, pool in pools.items()
    }


def _external(pool: ModelPool, url: str) -> ModelPool:
    if not url.startswith(("http://", "https://")):
        raise BadInputError([f"--endpoint: {url} must be an OpenAI base URL such as http://127.0.0.1:8000/v1"])
    change = {"engine": Engine.EXTERNAL, "external": External(base_url=url)}
    return pool.model_copy(update={"spec": pool.spec.model_copy(update=change)})


def furnish(
    pools: Mapping[str, ModelPool],
    references: References,
    key_variables: Mapping[str, str],
    scratch: Path,
    environ: Mapping[str, str] = os.environ,
    servers: KeptServers = NO_SERVERS,
) -> Machine:
    """Gather what the pools need; `key_variables` name the environment variable of an external pool's key."""
    _refuse_unknown("--api-key", key_variables, pools)
    own = [pool for pool in pools.values() if pool.spec.engine is Engine.VLLM]
    environments = {p.metadata.name: _environment(p, references, environ, scratch) for p in own}
    templates = {p.metadata.name: text for p in own if (text := _template(p, references)) is not None}
    asks = {p.metadata.name: _ask(p, environments[p.metadata.name], templates) for p in own}
    hungry = [pool for pool in own if pool.spec.gpus_per_replica and not is_mock(pool)]
    gpus = list_gpus(environ) if hungry or any(note.gpus for note in servers.usable) else []
    kept = match_notes(own, servers.usable, asks, gpus)
    return Machine(
        environments=environments,
        keys={
            name: _key(pool, references, key_variables.get(name), environ)
            for name, pool in pools.items()
            if pool.spec.engine is Engine.EXTERNAL
        },
        templates=templates,
        gpus=allot_gpus(hungry, gpus, *held_gpus(kept, servers.alive)) if hungry else {},
        asks=asks,
        kept=kept,
    )


def is_mock(pool: ModelPool) -> bool:
    """Tell whether a pool's image is the mock model server's."""
    repository = (pool.spec.image or "").partition("@")[0].rpartition("/")[2]
    return repository.partition(":")[0] == _MOCK_REPOSITORY


def _refuse_unknown(option: str, named: Mapping[str, str], pools: Mapping[str, ModelPool]) -> None:
    unknown = [name for name in named if name not in pools]
    if unknown:
        raise BadInputError([f"{option}: the run has no pool {unknown[0]}; its pools are {', '.join(pools)}"])


def _ask(pool: ModelPool, environment: Mapping[str, str], templates: Mapping[str, str]) -> Ask:
    # The mock's executable lies in another folder each time; the program behind it is this Python.
    return build_ask(pool, environment, templates.get(pool.metadata.name), sys.executable if is_mock(pool) else None)


def _environment(pool: ModelPool, references: References, environ: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Return the whole environment of a pool's servers; for the mock, its executable stands first in PATH."""
    environment = {**environ, **{e.name: _value(pool, e, references, environ) for e in pool.spec.env}}
    if is_mock(pool):
        executable = install_vllm(scratch / "mock")
        environment["PATH"] = f"{executable.parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    elif shutil.which("vllm", path=environment.get("PATH")) is None:
        raise BadInputError(
            [
                f"pool {pool.metadata.name}: no vllm in PATH: install it (pip install 'toolorch[vllm]'), or name a"
                f" running server with --endpoint {pool.metadata.name}=URL"
            ]
        )
    return environment


def _value(pool: ModelPool, entry: EnvVar, references: References, environ: Mapping[str, str]) -> str:
    source = entry.value_from
    if source is None:
        return entry.value or ""
    for kind, ref in (("Secret", source.secret_key_ref), ("ConfigMap", source.config_map_key_ref)):
        text = references.find(kind, pool.metadata.namespace, ref.name, ref.key) if ref else None
        if text is not None:
            return text
    if entry.name in environ:
        return environ[entry.name]
    raise BadInputError(
        [
            f"pool {pool.metadata.name}: spec.env: {entry.name} comes from an object of a cluster: set the environment"
            f" variable {entry.name}, or put that object into the files"
        ]
    )


def _template(pool: ModelPool, references: References) -> str | None:
    tools = pool.spec.tool_calling
    if tools is None or tools.chat_template is None:
        return None
    ref = tools.chat_template.config_map_key_ref
    text = references.find("ConfigMap", pool.metadata.namespace, ref.name, ref.key)
    if text is None:
        raise BadInputError(
            [
                f"pool {pool.metadata.name}: spec.toolCalling.chatTemplate: there is no ConfigMap {ref.name} with key"
                f" {ref.key} in the files: add it to one of them"
            ]
        )
    return text


def _key(pool: ModelPool, references: References, variable: str | None, environ: Mapping[str, str]) -> str:
    name = pool.metadata.name
    if variable is not None:
        if not environ.get(variable):
            raise BadInputError([f"--api-key: the environment variable {variable} of pool {name} is not set"])
        return environ[variable]
    ref = pool.spec.external.api_key_secret_ref if pool.spec.external else None
    if ref is None:
        return _NO_KEY
    text = references.find("Secret", pool.metadata.namespace, ref.name, ref.key)
    if text is None:
        raise BadInputError(
            [
                f"pool {name}: spec.external.apiKeySecretRef: Secret {ref.name} is not in the files: name the"
                f" environment variable that holds the key with --api-key {name}=VARIABLE"
            ]
        )
    return text
