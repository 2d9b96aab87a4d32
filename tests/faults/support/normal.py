"""The end of a plan in words that every run of it would use: without times, made-up names and what controllers keep."""

import json
import re

from signatures import mask

DROPPED = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "generateName", "clusterIP",
    "clusterIPs", "observedGeneration", "lastTransitionTime",
)  # fmt: skip
"""Fields that are new in each life of an object, wherever they stand."""
MADE_UP_LABELS = ("controller-uid", "pod-template-hash", "revision", "applied-hash")
TEXTS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"), "TIME"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"(?<=run-)[0-9a-f]{8}\b"), "UID"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
)
KEYS = ("type", "name", "key", "containerPort", "mountPath", "uid")


def describe_end(story):
    """Return the value of every field that lasts, by object and path."""
    fields = {}
    for (kind, name), item in story.objects.items():
        text = json.dumps(keep(kind, item))
        for pattern, instead in [*TEXTS, (re.compile(rf"\b{story.namespace}\b"), "NAMESPACE")]:
            text = pattern.sub(instead, text)
        for path, value in flatten(json.loads(text)):
            fields[f"{kind}/{mask(name)}{path}"] = value
    return fields


def keep(kind, item):
    """Return what of an object is the operator's doing, or says how its work ended."""
    meta = item["metadata"]
    kept = {"metadata": {"name": mask(meta["name"]), **{p: meta[p] for p in ("labels", "finalizers") if p in meta}}}
    status = item.get("status", {})
    match kind:
        case "ModelPool" | "EvalRun":
            return drop({**kept, "spec": item["spec"], "status": status})
        case "Pod":
            container = item["spec"]["containers"][0]
            told = {"image": container["image"], "command": container["command"], "phase": status.get("phase")}
            return drop({**kept, **told, "deleted": "deletionTimestamp" in meta})
        case "Job":
            ended = [c["type"] for c in status.get("conditions", ()) if c["status"] == "True"]
            return drop({**kept, "spec": item["spec"], "ended": ended, "succeeded": status.get("succeeded", 0)})
        case _:
            return drop({**kept, "spec": item.get("spec"), "data": item.get("data")})


def drop(value):
    """Return a value without what is new in each life."""
    if isinstance(value, dict):
        return {k: drop(v) for k, v in value.items() if k not in DROPPED and not is_made_up(k)}
    if isinstance(value, list):
        return [drop(v) for v in value]
    return mask(value) if isinstance(value, str) and len(value) < 64 else value


def is_made_up(label):
    """Tell whether a label or annotation holds what a controller made up."""
    return label.rpartition("/")[2] in MADE_UP_LABELS


def flatten(value, path=""):
    """Yield each leaf with its path; items of a list go by their name where they have one."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from flatten(below, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            name = next((item[k] for k in KEYS if k in item), index) if isinstance(item, dict) else index
            yield from flatten(item, f"{path}[{name}]")
    else:
        yield path, value
