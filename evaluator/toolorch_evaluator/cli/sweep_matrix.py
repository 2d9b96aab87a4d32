"""From a Sweep's matrix to the assignments that it means, and from an assignment to one run's name and spec. No I/O."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from toolorch_api.meta import API_VERSION, MAX_NAME_LENGTH, ApiModel, ObjectMeta, name_rules

KIND = "Sweep"
# More runs than this by one command are a slip in the matrix: each has a report of its own.
MAX_RUNS = 1000

Value = StrictInt | Annotated[StrictStr, Field(min_length=1, max_length=256)]
Assignment = Mapping[str, int | str]
"""A value for each axis, in the order of axes."""
AxisName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=40)]

_HOLE = re.compile(r"\$\{([^{}]*)\}")
# Enough that two names of one sweep, cut at the same letter, differ.
_HASH_DIGITS = 6


class Sweep(ApiModel):
    """A matrix of runs: a file format of the command line, which no cluster knows."""

    api_version: Literal[API_VERSION] = API_VERSION  # type: ignore[valid-type]
    kind: Literal["Sweep"] = "Sweep"
    metadata: ObjectMeta
    matrix: Annotated[dict[AxisName, Annotated[list[Value], Field(min_length=1)]], Field(min_length=1)]
    """Values by axis."""
    exclude: list[dict[str, Value]] = Field(default_factory=list)
    """Partial assignments that are left out."""
    spec: dict[str, Any]
    """An EvalRun's spec, in which ${axis} stands for the axis' value."""

    rules: ClassVar = name_rules()


def find_mistakes(sweep: Sweep) -> list[str]:
    """Return what is wrong with a matrix as sentences that begin with a field; empty: nothing."""
    axes = list(sweep.matrix)
    mistakes = [
        f"matrix.{axis}: {value!r} stands there twice"
        for axis, values in sweep.matrix.items()
        for value in dict.fromkeys(values)
        if values.count(value) > 1
    ]
    for index, left_out in enumerate(sweep.exclude):
        mistakes += _of_exclusion(f"exclude[{index}]", left_out, sweep)
    holes = dict(_holes(sweep.spec, "spec"))
    unknown = {field: sorted(names - set(axes)) for field, names in holes.items() if names - set(axes)}
    known = ", ".join(axes)
    mistakes += [
        f"{field}: ${{{names[0]}}} is no axis of the matrix; axes: {known}" for field, names in unknown.items()
    ]
    used = {name for names in holes.values() for name in names}
    mistakes += [
        f"matrix.{axis}: spec has no ${{{axis}}}: its runs would be the same" for axis in axes if axis not in used
    ]
    return mistakes or _of_size(sweep)


def _of_exclusion(field: str, left_out: Assignment, sweep: Sweep) -> Iterator[str]:
    if not left_out:
        yield f"{field} is empty: it would leave out every run"
    for axis, value in left_out.items():
        if axis not in sweep.matrix:
            yield f"{field}.{axis} is no axis of the matrix; axes: {', '.join(sweep.matrix)}"
        elif value not in sweep.matrix[axis]:
            yield f"{field}.{axis}: {value!r} is no value of matrix.{axis}: {', '.join(map(str, sweep.matrix[axis]))}"


def _of_size(sweep: Sweep) -> list[str]:
    count = len(expand(sweep))
    if not count:
        return ["exclude leaves out every run of the matrix"]
    return [f"matrix means {count} runs, {MAX_RUNS} are the most"] if count > MAX_RUNS else []


def _holes(value: Any, field: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the fields that hold ${…}, with the names in it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _holes(inner, f"{field}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _holes(inner, f"{field}[{index}]")
    elif isinstance(value, str) and (names := set(_HOLE.findall(value))):
        yield field, names


def expand(sweep: Sweep) -> list[dict[str, int | str]]:
    """Return all assignments that are not excluded; the last axis changes fastest."""
    every = (dict(zip(sweep.matrix, values, strict=True)) for values in itertools.product(*sweep.matrix.values()))
    return [a for a in every if not any(left_out.items() <= a.items() for left_out in sweep.exclude)]


def fill(value: Any, assignment: Assignment) -> Any:
    """Return a part of a spec with each ${axis} replaced; a string that is nothing else takes the value's type."""
    if isinstance(value, dict):
        return {key: fill(inner, assignment) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, assignment) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _HOLE.fullmatch(value)
    return assignment[whole[1]] if whole else _HOLE.sub(lambda hole: str(assignment[hole[1]]), value)


def name_runs(sweep: str, assignments: Sequence[Assignment]) -> list[str]:
    """Return a name for each assignment, such as taubench-retail-act: all different, each fit for an EvalRun.

    What is too long is cut and ends in a hash of the assignment; so does the later one of two that would be the same.
    """
    names: list[str] = []
    for assignment in assignments:
        words = [sweep, *(re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-") for value in assignment.values())]
        name = "-".join(word for word in words if word)
        if len(name) > MAX_NAME_LENGTH or name in names:
            text = json.dumps(assignment, sort_keys=True)
            digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]
            name = f"{name[: MAX_NAME_LENGTH - _HASH_DIGITS - 1].rstrip('-')}-{digest}"
        names.append(name)
    return names


def describe(assignment: Assignment) -> str:
    """Write an assignment as people read it: domain=retail, strategy=act."""
    return ", ".join(f"{axis}={value}" for axis, value in assignment.items())
