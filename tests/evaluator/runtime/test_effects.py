"""Variants against control: paired by task, by hand."""

from types import SimpleNamespace

import pytest

from toolorch_api.shard import Unit, UnitStatus
from toolorch_evaluator.effects import MCNEMAR, WILCOXON, cohens_d, holm, mcnemar, measure_effects, signed_rank


def measure(**variants):
    """Measure variants given as {task: trials}, where p is passed, f failed and . not scored."""
    finals, units = {}, []
    for variant, tasks in variants.items():
        for task, trials in tasks.items():
            for trial, letter in enumerate(trials):
                units.append(unit := Unit(variant, "retail", task, trial))
                if letter != ".":
                    status = UnitStatus.PASSED if letter == "p" else UnitStatus.FAILED
                    finals[unit] = SimpleNamespace(reward=float(letter == "p"), status=status)
    return measure_effects(units, finals)


def tasks(ends):
    return {str(n): end for n, end in enumerate(ends.split())}


def test_one_trial_per_task_by_hand():
    (anger,) = measure(control=tasks("p p p p f f p p p ."), anger=tasks("f f f p f p p p . p"))
    assert (anger.tasks, anger.pairs, anger.lost, anger.gained) == (8, 8, 3, 1)
    assert (anger.control, anger.score, anger.difference) == (0.75, 0.5, -0.25)
    # Four tasks moved: 2 * (1 + 4) / 2^4.
    assert (anger.test, anger.p, anger.p_holm) == (MCNEMAR, 0.625, 0.625)
    assert anger.odds == pytest.approx(1 / 3)
    # Variances 6 * 2 / 8 / 7 and 4 * 4 / 8 / 7.
    assert anger.d == pytest.approx(-0.25 / ((12 / 56 + 16 / 56) / 2) ** 0.5)
    # Bonett and Price: (-3 + 1) / 10 ± 1.96 * sqrt(((4 + 2) / 10 - 0.04) / 10).
    assert anger.interval == pytest.approx((-0.66381, 0.26381), abs=1e-5)


def test_several_trials_count_by_their_tasks_means():
    control = tasks("pppp pppp pppp pppp ffff ppp.")
    (anxiety,) = measure(control=control, anxiety=tasks("pppf ppff pfff ffff ffff pppf"))
    assert (anxiety.tasks, anxiety.pairs, anxiety.lost, anxiety.gained, anxiety.odds) == (6, 23, 10, 0, 0)
    assert anxiety.difference == pytest.approx(-2.5 / 6)
    # Four differences, all of one sign: 2 / 2^4. The task that lacks a trial moved nowhere in those it has.
    assert (anxiety.test, anxiety.p) == (WILCOXON, 0.125)


def test_p_values_are_corrected_over_all_variants():
    lost = {"control": tasks("p " * 8), "anger": tasks("f " * 6 + "p p"), "anxiety": tasks("f " * 5 + "p p p")}
    anger, anxiety = measure(**lost, own=tasks("p " * 8))[:2]
    assert (anger.p, anger.p_holm) == (2 / 64, 6 / 64)
    assert (anxiety.p, anxiety.p_holm) == (2 / 32, 4 / 32)


@pytest.mark.parametrize(
    "variants",
    [
        pytest.param({"control": tasks("p f")}, id="control alone"),
        pytest.param({"anger": tasks("p f"), "anxiety": tasks("p f")}, id="no control"),
        pytest.param({"control": tasks("p ."), "anger": tasks(". f")}, id="no task in common"),
    ],
)
def test_nothing_is_compared_without_control_and_a_task_in_common(variants):
    assert measure(**variants) == []


def test_what_does_not_vary_has_no_effect_size_and_no_significance():
    (same,) = measure(control=tasks("p p p"), anger=tasks("p p p"))
    assert (same.d, same.odds, same.p, same.difference) == (None, None, 1, 0)


def test_tests_by_hand():
    assert [mcnemar(1, 5), mcnemar(6, 0), mcnemar(0, 0)] == [14 / 64, 2 / 64, 1]
    # Ranks 1, 3, 4, 5 of one sign and 2 of the other: three of 32 sums are 2 or less.
    assert signed_rank([0.25, 0.5, 0.75, 1.0, -0.33, 0]) == pytest.approx(6 / 32)
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert cohens_d([0, 1, 2], [1, 2, 3]) == 1
