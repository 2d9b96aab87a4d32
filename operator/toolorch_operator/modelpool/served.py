"""What serves a pool's model: by the word of the first server that is ready, and by its pod. PURE.

It goes into runs' provenance, which others read: no secret may stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState, Served
from toolorch_operator.modelpool.fetch.job import needs_fetch
from toolorch_operator.modelpool.instances import Replica
from toolorch_operator.modelpool.pods import PodView

BLANK = "***"
# With 64 of them and a thousand replicas a status still has room.
ARGUMENT_CHARACTERS = 300

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_SECRET = r"(?:api[-_]?key|secret|passw(?:or)?d|credentials?|(?:hf|hub|auth|access|bearer|api)[-_]?token)"
# An option whose value is a secret; "token" alone is what a model counts in.
_SECRET_OPTION = re.compile(rf"--(?:[\w.-]*[-_.])?(?:{_SECRET}|token)", re.IGNORECASE)
_SECRET_MEMBER = re.compile(rf"(\"[^\"]*{_SECRET}[^\"]*\"\s*:\s*)\"(?:[^\"\\]|\\.)*\"", re.IGNORECASE)
_URL_LOGIN = re.compile(r"//[^/@\s\"]+@")


def find_served(pool: ModelPool, replicas: Sequence[Replica], commit: str = "") -> Served | None:
    """Return what the first ready server is, or None while no server speaks; `commit` is what was fetched."""
    first = next((r for r in replicas if r.state is InstanceState.READY and r.probe is not None), None)
    if first is None or first.probe is None:
        return None
    own = next((m for m in first.probe.models if m.id == pool.spec.served_name), None)
    if own is None:
        return None
    return Served(
        id=own.id,
        max_model_len=own.max_model_len,
        engine_version=first.probe.version,
        image_id=first.pod.image_id if first.pod else "",
        revision=find_revision(pool, commit),
        arguments=list_arguments(first.pod) if first.pod else [],
    )


def find_revision(pool: ModelPool, commit: str) -> str:
    """Return the commit of the model where it is known, else what the spec asks for.

    The pod of a Job that has fetched may be gone: what it told stays true as long as servers use what it brought.
    """
    asked, before = pool.spec.revision or "", pool.status.served.revision
    if commit or _COMMIT.fullmatch(asked):
        return commit or asked
    return before if needs_fetch(pool.spec) and _COMMIT.fullmatch(before) else asked


def list_arguments(pod: PodView) -> list[str]:
    """Return the command line that a pod's server was started with, without its launcher and without secrets."""
    words = list(pod.command)
    return [_cut(word) for word in blank_secrets(words[words.index("vllm") :] if "vllm" in words else words)]


def blank_secrets(arguments: Sequence[str]) -> Iterator[str]:
    """Yield arguments with the values of such as --api-key, of such members of JSON, and logins in URLs blanked."""
    follows_secret = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        is_option = argument.startswith("--")
        if is_option and _SECRET_OPTION.fullmatch(name):
            follows_secret = not equals
            yield f"{name}={BLANK}" if equals else name
        elif follows_secret and not is_option:
            yield BLANK  # an option may take several values
        else:
            follows_secret = False
            yield _URL_LOGIN.sub(f"//{BLANK}@", _SECRET_MEMBER.sub(rf'\1"{BLANK}"', argument))


def _cut(word: str) -> str:
    return word if len(word) <= ARGUMENT_CHARACTERS else f"{word[: ARGUMENT_CHARACTERS - 1]}…"
