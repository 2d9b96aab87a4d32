"""The report of a run in which every text that a model, a server or a storage may write tries to run a script."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from toolorch_api.deaths import Death
from toolorch_api.evalrun import EvalRunSpec, spec_hash
from toolorch_api.keys import MANIFEST_KEY, PROMPTS_KEY, RUN_KEY, death_key, error_key, profile_key, result_key
from toolorch_api.run_input import PoolInput, RunInput, Serving
from toolorch_api.shard import Manifest, Result, Unit
from toolorch_evaluator.profile import CallEvent, Profile
from toolorch_evaluator.report_step import report
from toolorch_evaluator.results import Results, open_store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DONE = "document.title='owned'"
EVIL = (
    f"'\"></title></style></pre></td><script>{DONE}</script><img src=x onerror={DONE}><svg onload={DONE}>"
    f"<iframe srcdoc='<script>parent.{DONE}</script>'></iframe><a href=javascript:{DONE}>$\\frac{{$ {{{{ 7*7 }}}}"
)
"""Ends whatever may be open around it, then tries each way to run something; also what charts and templates obey."""


def evil(name):
    """Return the text, and which one it is."""
    return f"{name}{EVIL}"


async def write_report(folder):
    """Write the run and its report below a folder; return the path of report.html."""
    roles = {"agent": {"pool": "pool"}, "user": {"pool": "pool"}}
    spec = EvalRunSpec.model_validate({"benchmark": {"name": "tau2"}, "roles": roles})
    serving = Serving(**{name: evil(name) for name in ("image", "image_id", "revision", "engine_version", "served_id")},
                      effective={"a": evil("effective")}, arguments=[evil("argument")])  # fmt: skip
    pool = PoolInput(model=evil("model"), served_model_name=evil("served"), serving=serving)
    run = RunInput(
        name="run", namespace="ns", uid="u", spec=spec, spec_hash=spec_hash(spec), root=f"file://{folder}",
        pools={"pool": pool}, evaluator_image=evil("evaluator"),
    )  # fmt: skip
    units = [Unit("control", evil("domain"), evil(f"task {n}"), 0) for n in range(4)]
    rows = [(u.variant, u.domain, u.task_id, u.trial) for u in units]
    manifest = Manifest(spec_hash=run.spec_hash, dataset_hash=evil("dataset"), units=rows)
    told = {"versions": {evil("part"): evil("version")}, "texts": {evil("role"): evil("prompt")},
            "tools": {evil("role"): [{"name": evil("tool"), "description": evil("said")}]}}  # fmt: skip
    death = Death(spec_hash=run.spec_hash, attempt=1, what="pod", units=[3], why=evil("death"))
    objects = {
        MANIFEST_KEY: manifest.model_dump_json(by_alias=True),
        RUN_KEY: json.dumps({"name": evil("name"), "versions": {evil("package"): evil("version")}}),
        PROMPTS_KEY: json.dumps(told),
        f"results/{evil('key')}.json": "{",
        result_key(units[0]): build_result(run, units[0], "passed", 1.0),
        result_key(units[1]): build_result(run, units[1], "failed", 0.0),
        error_key(units[2]): build_result(run, units[2], "infra_error", None),
        **{death_key(1, f"{n}"): death.model_dump_json(by_alias=True) for n in range(9)},
    }
    event = CallEvent(
        unit=evil("unit"), role=evil("role"), n=1, pool=evil("pool"), endpoint=evil("endpoint"), served=evil("served"),
        at=NOON.isoformat(), ms=5, first_ms=None, waited_ms=0, unready_ms=0, tries=2, failed=[evil("failed")],
        prompt_tokens=1, completion_tokens=1, cut_tokens=0, finish_reason=evil("finish"), cause=evil("cause"),
    )  # fmt: skip
    profile = Profile()
    profile.add(event)
    results = Results(open_store(f"file://{folder}"))
    for key, body in objects.items():
        await results.put(key, body.encode())
    await results.put(profile_key(1, 0, "pod"), profile.close())
    await report(run, results, NOON, lambda root: results)
    return Path(folder) / "report" / "report.html"


def build_result(run, unit, status, reward):
    """Return a result, all of whose free texts are evil."""
    texts = {name: evil(name) for name in ("termination_reason", "profile", "cause", "message", "endpoint", "pod")}
    return Result(
        **asdict(unit), **texts, status=status, reward=reward, reward_breakdown={evil("reward"): 0.5},
        started_at=NOON, ended_at=NOON, calls={evil("caller"): 1}, endpoints=[evil("answered")],
        served={"agent": evil("served")}, counts={evil("count"): 1}, verdict={evil("verdict"): evil("judged")},
        spec_hash=run.spec_hash, attempt=1, shard=0,
    ).model_dump_json(by_alias=True)  # fmt: skip
