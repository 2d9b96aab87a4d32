"""The cluster as kubectl reads it: contexts, credentials and proxies are kubectl's, so that none of them is ours."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_api.foreign_json import parse_json
from toolorch_evaluator.cli.lines import plain, plain_json

Objects = list[dict[str, Any]]

# kubectl itself would wait for an unreachable cluster for minutes.
_REQUEST_SECONDS = 15
# A plugin that fetches credentials may take its time before the request.
_PATIENCE_SECONDS = 60.0
_SILENCE = "it did not say why"
# kubectl's own log, such as E1121 18:32:26.343277: the sentence for people follows.
_LOGGED = re.compile(r"[EWIF]\d{4} ")


class UnreadableError(Exception):
    """What kubectl could not read, and why, as a sentence; `is_denied` where only the rights are lacking."""

    def __init__(self, sentence: str, *, is_denied: bool = False) -> None:
        super().__init__(sentence)
        self.is_denied = is_denied


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl with the place that it looks at; empty: that of the kubeconfig."""

    executable: str
    namespace: str = ""
    context: str = ""

    async def read(self, kinds: str, *selection: str) -> Objects:
        """Return the objects of these kinds, such as "pods" or "pods,jobs"; raises UnreadableError."""
        code, out, said = await self._call(["get", kinds, *selection, "--output=json", *self._place()])
        if code:
            raise _explain(kinds, said)
        try:
            return list(plain_json(parse_json(out)["items"]))
        except (ValueError, KeyError, TypeError):
            raise UnreadableError(f"kubectl answered for {kinds} with something other than a list") from None

    async def apply(self, objects: Sequence[Mapping[str, Any]], manager: str, *, for_real: bool) -> list[str]:
        """Apply objects on the server's side, or only have it judge them; return its complaints, one each.

        Raises UnreadableError where kubectl itself cannot work.
        """
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}).encode()
        words = ["apply", "--server-side", f"--field-manager={manager}", "--filename=-", *self._place()]
        code, _, said = await self._call(words if for_real else [*words, "--dry-run=server"], given)
        lines = [line.strip() for line in said.splitlines() if line.strip() and not _LOGGED.match(line)]
        return lines or [_SILENCE] if code else []

    def _place(self) -> list[str]:
        place = [f"--namespace={self.namespace}"] if self.namespace else []
        place += [f"--context={self.context}"] if self.context else []
        return [f"--request-timeout={_REQUEST_SECONDS}s", *place]

    async def _call(self, words: list[str], given: bytes | None = None) -> tuple[int, bytes, str]:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                self.executable, *words, stdin=pipe if given else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            why = f"{self.executable} cannot be started ({error.strerror})"
            raise UnreadableError(f"{why}: the cluster is read through it, so install it") from None
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                out, said = await process.communicate(given)
        except TimeoutError:
            raise UnreadableError(f"kubectl gave no answer within {_PATIENCE_SECONDS:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, out, plain(said.decode("utf-8", "replace"))


def _explain(kinds: str, said: str) -> UnreadableError:
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), _SILENCE)
    if "have a resource type" in last:
        return UnreadableError(f"the cluster knows no {kinds}: install toolorch's chart there first (kubectl: {last})")
    if "(Forbidden)" in last:
        return UnreadableError(f"you have no right to list {kinds} (kubectl: {last})", is_denied=True)
    return UnreadableError(f"kubectl could not read {kinds}: {last}")
