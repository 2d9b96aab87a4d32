"""Transitions of specs, after Acto: for each field one value and back, one that cannot work and back."""

import copy
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError
from schema_values import draw, extreme, fitting, leaves, unfit

from toolorch_api.evalrun import EvalRun
from toolorch_api.modelpool import ModelPool

ROOT = Path(__file__).resolve().parents[3]
MODELS = {"ModelPool": ModelPool, "EvalRun": EvalRun}
OUTSIDE = "outside"


@dataclass(frozen=True)
class Transition:
    """One field: from `good` to `other` and back, and from `bad` to `good`; None where there is no such value."""

    kind: str
    field: str
    good: str
    """Name of a spec of BASES."""
    other: dict | None
    bad: dict | None


def pool_spec(**more):
    """Return the spec of a pool on the node of its home."""
    placement = {"nodeSelector": {"home": "HOME"}}
    return {"model": "m/a", "image": "vllm:1", "startup": {"settleSeconds": 0}, "placement": placement, **more}


def run_spec(**more):
    """Return the spec of a run over the pool outside."""
    roles = {"agent": {"pool": OUTSIDE}, "user": {"pool": OUTSIDE}}
    benchmark = {"name": "tau2", "domains": ["retail", "airline"]}
    return {"benchmark": benchmark, "roles": roles, "shards": 3, "output": {"uri": "file://OUTPUT"}, **more}


BASES = {
    "ModelPool": {
        "plain": pool_spec(),
        "calls": pool_spec(toolCalling={"parser": "hermes"}, preflight={"toolCalling": "Off"}),
        "outside": {"model": "m/outside", "engine": "external", "external": {"baseURL": "http://EXTERNAL"}},
    },
    "EvalRun": {"plain": run_spec()},
}
"""Specs that work; words in capitals stand for what a home knows."""


ENDS_THE_RUN = {("EvalRun", "userVariants")}
"""Fields that no rule of a CRD can hold fast, for they take two types: the operator ends a run in which one changes."""


def read_schema(kind):
    """Return the schema of a kind's spec, as its CRD has it, and which of its fields never change."""
    crd = yaml.safe_load((ROOT / "crds" / f"toolorch.dev_{kind.lower()}s.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rules = " ".join(rule["rule"] for rule in schema["x-kubernetes-validations"])
    return schema, {name for name in schema["properties"] if f"oldSelf.{name}" in rules}


def changing(kind):
    """Return the paths of a kind's fields that may change."""
    schema, fixed = read_schema(kind)
    return [path for path, _ in leaves(schema) if path[0] not in fixed and (kind, path[0]) not in ENDS_THE_RUN]


def find_transition(kind, path):
    """Return the transition of a field, from the first good spec that takes another value there."""
    schema, _ = read_schema(kind)
    node = dict(leaves(schema))[path]
    for name, good in BASES[kind].items():
        other = draw_spec(kind, schema, good, path, fitting(node))
        if other is not None:
            bad = draw_spec(kind, schema, good, path, extreme(node))
            return Transition(kind, ".".join(path), name, other, None if bad == other else bad)
    raise LookupError(f"no good spec of a {kind} takes another value for {'.'.join(path)}")


def find_refusals(kind):
    """Yield field and spec of values that the API server must refuse: it has said what a field takes."""
    schema, _ = read_schema(kind)
    for path, node in leaves(schema):
        good = BASES[kind]["outside" if path[0] == "external" else "plain"]
        for value in unfit(node):
            yield ".".join(path), with_value(good, path, value)


def find_breaches(kind):
    """Yield field and spec of other values for what never changes."""
    schema, fixed = read_schema(kind)
    for path, node in leaves(schema):
        if path[0] in fixed:
            good = BASES[kind]["plain"]
            other = draw_spec(kind, schema, good, path, fitting(node))
            if other is not None:
                yield ".".join(path), other


def draw_spec(kind, schema, good, path, values):
    """Return a spec that differs from a good one in one field, and what that needs beside it; None: there is none."""
    before = parse(kind, good)
    frame = with_siblings(schema, good, path)
    specs = values.map(lambda value: with_value(frame, path, value))
    return draw(specs, ".".join(path), lambda spec: parse(kind, spec) not in (None, before))


def parse(kind, spec):
    """Return a spec with its defaults; None where it breaks a rule."""
    try:
        return MODELS[kind].model_validate({"metadata": {"name": "a"}, "spec": spec}).spec
    except ValidationError:
        return None


def with_siblings(schema, good, path):
    """Return a spec with what is required beside a path where its parent was not there."""
    spec, node, here = copy.deepcopy(good), schema, ()
    at = spec
    for step in path[:-1]:
        node, here = node["properties"][step], (*here, step)
        is_new = step not in at
        at = at.setdefault(step, {})
        for needed in node.get("required", ()) if is_new else ():
            if (*here, needed) != path[: len(here) + 1]:
                at[needed] = draw(fitting(node["properties"][needed]), ".".join((*here, needed)))
    return spec


def with_value(good, path, value):
    """Return a spec with a value at a path, whatever else that may need."""
    spec = copy.deepcopy(good)
    at = spec
    for step in path[:-1]:
        at = at.setdefault(step, {})
    at[path[-1]] = value
    return spec
