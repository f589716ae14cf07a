"""The learning rate follows the budget, whichever part of it is further."""

from itertools import pairwise
from pathlib import Path

import pytest

from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.schedule import Schedule

CONFIG = DetectorConfig.read(
    Path(__file__).parents[3] / "training/configs/detector/yolov5n-both.yaml"
)


def schedule(**changes: object) -> Schedule:
    recipe = CONFIG.model_copy(update={"epochs": 10, "hours": 1.0, **changes})
    return Schedule.of(recipe, steps_per_epoch=100)


def test_the_budget_is_spent_by_steps_or_by_time_whichever_is_further() -> None:
    assert schedule().spent(500, 60) == pytest.approx(0.5)
    assert schedule().spent(100, 2700) == pytest.approx(0.75)
    assert schedule().spent(100, 9999) == 1.0
    assert schedule(hours=None).spent(100, 9999) == pytest.approx(0.1)


def test_a_slow_machine_reaches_the_end_of_the_rate_with_the_end_of_its_time() -> None:
    # 20 s a step: of the thousand steps that were planned, an hour allows 180.
    rates = [schedule().learning_rate(step, 20.0 * step) for step in range(181)]
    peak = rates.index(max(rates))
    assert peak <= 18
    assert all(one > other for one, other in pairwise(rates[peak:]))
    assert rates[-1] == pytest.approx(CONFIG.optimizer.learning_rate * 0.01)
    assert rates[90] > 0.3 * CONFIG.optimizer.learning_rate


def test_weights_warm_up_and_biases_do_not() -> None:
    plan = schedule(hours=None)
    assert plan.warmup_steps == 100
    assert plan.learning_rate(0, 0) == pytest.approx(0.001 / 100)
    assert plan.learning_rate(0, 0, warm_up=False) == pytest.approx(0.001)
    assert plan.learning_rate(99, 0) == plan.learning_rate(99, 0, warm_up=False)


def test_a_run_of_one_epoch_does_not_warm_up() -> None:
    assert schedule(epochs=1).warmup_steps == 0


def test_the_epochs_left_are_told_from_the_pace_so_far() -> None:
    assert schedule().epochs_left(0, 0) == 10
    # A quarter of the time for one epoch: three are left, not nine.
    assert schedule().epochs_left(100, 900) == pytest.approx(3)
    assert schedule(hours=None).epochs_left(800, 900) == pytest.approx(2)
