"""How requests and lines become records of the trace, and what the proxy learns from them."""

import asyncio
import hashlib

from sightings import Sightings, parse_manifest
from signatures import line_signature
from watch_lines import Milestones


class Journal:
    """Takes notes from its first moment on: `trace` gets the records, `seen` and `milestones` what they mean."""

    def __init__(self, trace):
        self.trace = trace
        self.seen = Sightings()
        self.milestones = Milestones()
        self._began = asyncio.get_running_loop().time()

    def judge(self, asked, status, body):
        """Return whether an answer tells of an effective write, and the versions of its object before and after."""
        call = asked.call
        manifest = parse_manifest(body) if call.verb not in ("proxy", "watch") else {}
        is_effective = self.seen.judge(call, status, manifest, asked.before)
        if call.verb == "list" and status < 300:
            self.seen.see_list(call.resource, manifest)
        return {
            "effective": is_effective,
            "rv_before": asked.before,
            "rv_after": self.seen.newest.get(call.key, ""),
            "answer": _without_fields(manifest) if is_effective else None,
        }

    def record(self, asked, status=0, faults=(), **judged):
        """Record one request; `judged` is what `judge` said of its answer."""
        call = asked.call
        self.milestones.note(call.signature)
        return self.trace.add(
            t=self._now(),
            verb=call.verb,
            key=call.key,
            signature=call.signature,
            status=status,
            digest=hashlib.sha256(asked.body).hexdigest()[:12] if asked.body else "",
            agent=asked.agent,
            reconcile=asked.headers.get("X-Reconcile-Id", ""),
            fault="; ".join(map(str, faults)),
            sent=parse_manifest(asked.body) if call.is_write else None,
            **judged,
        )

    def record_line(self, resource, line, faults=()):
        """Record one line of a watch."""
        type_, manifest = line.get("type", ""), line.get("object") or {}
        meta = manifest.get("metadata") or {}
        name, version = meta.get("name", ""), meta.get("resourceVersion", "")
        key = f"{resource}/{name}" if name else resource
        before = self.seen.newest.get(key, "")
        if name:
            (self.seen.lose if type_ == "DELETED" else self.seen.see)(key, version)
        signature = line_signature(line, resource)
        self.milestones.note(signature)
        return self.trace.add(
            t=self._now(),
            verb=type_,
            key=key,
            signature=signature,
            rv_before=before,
            rv_after=version,
            fault="; ".join(map(str, faults)),
        )

    def _now(self):
        return round(asyncio.get_running_loop().time() - self._began, 3)


def _without_fields(manifest):
    meta = {name: value for name, value in (manifest.get("metadata") or {}).items() if name != "managedFields"}
    return {**manifest, "metadata": meta}
