"""HLE and FRAMES as the runner knows them: units, the rounds at a question, the verdict on its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks.base import Ask, Listing, Read, Score
from toolorch_evaluator.benchmarks.questions import prompts
from toolorch_evaluator.benchmarks.questions.dataset import Dataset, Question, parse_dataset
from toolorch_evaluator.benchmarks.questions.equipment import Equipment, open_equipment
from toolorch_evaluator.benchmarks.questions.rounds import Rounds
from toolorch_evaluator.benchmarks.questions.rules import FRAMES, HLE, MAX_ROUNDS, Rules
from toolorch_evaluator.benchmarks.questions.seal import fingerprint, seal, unseal
from toolorch_evaluator.benchmarks.questions.team import build_team
from toolorch_evaluator.benchmarks.questions.tools import Programs, Searches, Toolbox
from toolorch_evaluator.benchmarks.questions.verdict import judge_answer
from toolorch_evaluator.benchmarks.seeds import trial_seed


@dataclass(slots=True)
class Questions:
    """One of the two benchmarks; `load` brings its dataset, `equip` what its tools need."""

    rules: Rules
    dataset: Dataset | None = None
    programs: Programs | None = None
    searches: Searches | None = None
    equipment: Equipment | None = None

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return self.rules.name

    async def load(self, spec: EvalRunSpec, read: Read) -> None:
        """Read the questions that the spec names; raises ValueError with a sentence for what is wrong with them."""
        assert spec.benchmark.dataset is not None  # the spec's own rule
        uri = spec.benchmark.dataset.uri
        try:
            self.dataset = parse_dataset(await read(uri))
        except ValueError as error:
            raise ValueError(f"dataset.uri {uri}: {error}") from error

    async def equip(self, spec: EvalRunSpec) -> None:
        """Open the sandbox, and wait for the search service; raises StepError."""
        self.equipment = await open_equipment(spec)
        self.programs, self.searches = self.equipment.sandbox, self.equipment.searches

    async def close(self) -> None:
        """Let go of the search service."""
        if self.equipment is not None:
            await self.equipment.close()

    def list_units(self, spec: EvalRunSpec) -> Listing:
        """List question by question, trial by trial; raises ValueError."""
        build_team(spec)
        if spec.variant_names != ["control"]:
            raise ValueError(f"{self.name} has no simulated user: leave userVariants out")
        known = self._loaded().questions
        strangers = [i for i in spec.benchmark.task_ids if i not in known]
        if strangers:
            raise ValueError(f"unknown task {strangers[0]!r}: ids of the dataset are such as {next(iter(known))!r}")
        wanted = set(spec.benchmark.task_ids)
        ids = [i for i in known if i in wanted] if wanted else list(known)[: spec.benchmark.num_tasks]
        units = tuple(Unit("control", self.name, i, trial) for i in ids for trial in range(spec.trials))
        return Listing(units, self._loaded().sha256)

    def describe(self, spec: EvalRunSpec) -> dict[str, Any]:
        """Return the texts around a question, and the agent's tools; no question is among them."""
        return {
            "versions": {"prompts": prompts.VERSION},
            "texts": {
                "agent: system": prompts.text("system.md"),
                "agent: each round": prompts.text("choose.md"),
                "enhance_reasoning": prompts.text("reason.md"),
                "search": prompts.text(self.rules.query_prompt),
                "answer": prompts.text("answer.md"),
                "judge": prompts.text("judge.md"),
            },
            "tools": {"agent": list(build_team(spec).schemas())},
        }

    async def converse(self, unit: Unit, spec: EvalRunSpec, ask: Ask) -> dict[str, Any]:
        """Hold the rounds at a question; raises ModelError where a model server fails."""
        question = self._question(unit.task_id)
        seed = trial_seed(spec.seed, unit.trial)
        assert self.programs is not None  # the shard equips the benchmark before its first unit
        box = Toolbox(ask, self.rules, question, seed, self.programs, self.searches)
        rounds = Rounds(box, build_team(spec), spec.benchmark.options.max_rounds or MAX_ROUNDS)
        reason = await rounds.hold()
        return {
            "benchmark": self.name,
            "domain": unit.domain,
            "task_id": unit.task_id,
            "trial": unit.trial,
            "seed": seed,
            "termination_reason": reason,
            "rounds": rounds.log,
            "counts": dict(rounds.counts),
            "prompt_version": prompts.VERSION,
            "prompts_sha256": prompts.sha256(),
            "question_sha256": fingerprint(question.text),
            **self._stored(rounds.answer, question),
        }

    async def judge(self, transcript: Mapping[str, Any], spec: EvalRunSpec, ask: Ask) -> dict[str, Any]:
        """Return the verdict on a transcript's answer; raises ModelError, and ValueError for another dataset's."""
        question = self._question(str(transcript["task_id"]))
        answer = unseal(transcript["sealed_answer"], question) if self.rules.gated else str(transcript["answer"])
        return await judge_answer(answer, question, ask, int(transcript["seed"]))

    def score(self, transcript: Mapping[str, Any]) -> Score:
        """Grade a transcript by the verdict in it."""
        verdict = transcript.get("verdict") or {}
        if "correct" not in verdict:
            return Score(None, error="there is no verdict on the answer")
        correct = float(bool(verdict["correct"]))
        return Score(correct, {"CORRECT": correct})

    def _stored(self, answer: str, question: Question) -> dict[str, Any]:
        """Return the answer as it may be stored: sealed where the question is gated."""
        if self.rules.gated:
            return {"sealed_answer": seal(answer, question), "answer_sha256": fingerprint(answer)}
        return {"question": question.text, "answer": answer, "reference": question.answer}

    def _question(self, task_id: str) -> Question:
        found = self._loaded().questions.get(task_id)
        if found is None:
            raise ValueError(f"the dataset has no question {task_id!r}")
        return found

    def _loaded(self) -> Dataset:
        if self.dataset is None:
            raise ValueError(f"the dataset of {self.name} has not been read")
        return self.dataset


def hle() -> Questions:
    """Return the benchmark `hle`."""
    return Questions(HLE)


def frames() -> Questions:
    """Return the benchmark `frames`."""
    return Questions(FRAMES)
