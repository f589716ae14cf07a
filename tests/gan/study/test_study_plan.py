"""Arms, rare labels, doses and guessed labels: what each arm is shown, before any training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_contracts import Finding
from cxr_gan.errors import GanError
from cxr_gan.study.plan import BALANCE, RareLabels, RareRule, find_rare, load_plan
from cxr_training.classifier.samples import LABELS, read_samples
from cxr_training.core.errors import ConfigError
from cxr_training.data.splits import Split
from support.gan.studies import COUNTS, RARE, study_plan, write_plan
from support.synthetic_nih import write_nih


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nih(tmp_path_factory.mktemp("data"), n_patients=200)


def test_every_arm_takes_the_same_steps_in_batches_of_the_same_size() -> None:
    plan = study_plan()
    configs = {name: plan.config(2, arm, COUNTS) for name, arm in plan.arms.items()}
    real, oversampled = configs.pop("real"), configs.pop("oversampled")
    assert set(map(str, configs.values())) == {str(real)}
    assert (real.training.steps_per_epoch, real.training.epochs) == (plan.steps, 1)
    assert oversampled.training.oversampled_to == dict.fromkeys(RARE, 120)
    again = oversampled.training.model_copy(update={"oversampled_to": {}})
    assert oversampled.model_copy(update={"training": again}) == real
    assert real.seed == 2
    # A synthetic image has as many pixels as a real one.
    assert real.input.canonical_px == real.input.width_px == 64


def test_rare_are_the_labels_with_the_fewest_training_positives(nih: Path) -> None:
    samples, plan = read_samples(nih), study_plan()
    config = plan.config(1, plan.arms["real"])
    found = find_rare(samples, RareRule(labels=4, least_validation=2), config)
    trained = samples.targets[samples.rows(Split.TRAIN)].sum(axis=0)
    counts = dict(zip(LABELS, trained, strict=True))
    del counts[Finding.PNEUMONIA]
    assert sorted(counts[x] for x in found.labels) == sorted(counts.values())[:4]
    others = [n for x, n in zip(LABELS, trained, strict=True) if x not in found.labels]
    assert found.balance_to == int(np.median(others))
    assert all(found.validation[x] >= 2 for x in found.evaluated)
    with pytest.raises(GanError, match=r"none of the rare labels .* has 500 positive"):
        find_rare(samples, RareRule(labels=4, least_validation=500), config)
    with pytest.raises(GanError, match="only 13 labels are learned from files of every size"):
        find_rare(samples, RareRule(labels=13, least_validation=1), config)


def test_a_dose_is_a_share_of_the_real_count_or_balance() -> None:
    assert COUNTS.totals(0.25) == dict.fromkeys(RARE, 25)
    assert COUNTS.totals(1.0) == dict.fromkeys(RARE, 40)
    assert COUNTS.totals(BALANCE) == dict.fromkeys(RARE, 120)
    assert [COUNTS.added(share) for share in (0.25, 0.5, 1.0, BALANCE)] == [15, 30, 60, 300]
    frequent = RareLabels(RARE, dict.fromkeys(LABELS, 50), COUNTS.validation, 40, LABELS)
    assert frequent.added(BALANCE) == 0


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"a": {"title": "a", "kind": "real"}}, "at least 2"),
        (
            {x: {"title": x, "kind": "oversampled", "share": 1.0} for x in "ab"},
            "one arm must be of kind real, and 0 are",
        ),
        (
            {"a": {"title": "a", "kind": "synthetic", "share": 1.0}},
            "arms.a: an arm of kind synthetic needs `generator`",
        ),
        (
            {"a": {"title": "a", "kind": "real", "share": 1.0}},
            "arms.a: an arm of kind real has no use for `share`",
        ),
        (
            {"a": {"title": "a", "kind": "synthetic", "generator": "g", "share": -1.0}},
            "`share` must be above 0",
        ),
        (
            {"a": {"title": "a", "kind": "oversampled", "share": 1.0, "shuffled": True}},
            "has no labels to shuffle",
        ),
        ({"a": {"title": "a", "kind": "real", "shares": 1.0}}, "shares"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(
    tmp_path: Path, arms: dict[str, Any], said: str
) -> None:
    path = write_plan(tmp_path / "plan.yaml", arms=arms)
    with pytest.raises(ConfigError) as caught:
        load_plan(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_plan_that_is_missing_or_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_plan(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("arms: [")
    with pytest.raises(ConfigError, match=r"broken\.yaml: while parsing"):
        load_plan(tmp_path / "broken.yaml")
