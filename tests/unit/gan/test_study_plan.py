"""Arms, rare labels, doses and guessed labels: what each arm is shown, before any training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_contracts import Finding
from cxr_gan.errors import GanError
from cxr_gan.study.command import workers_of
from cxr_gan.study.plan import BALANCE, RareRule, load_plan
from cxr_gan.study.preparing import refuse_too_few_seeds, stages_of
from cxr_gan.study.ranking import choose
from cxr_gan.study.rare import RareLabels, find_rare
from cxr_training.classifier.samples import LABELS, read_samples
from cxr_training.core.errors import ConfigError
from cxr_training.data.splits import Split
from gan_studies import COUNTS, RARE, study_plan, write_plan
from support.synthetic_nih import write_nih


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nih(tmp_path_factory.mktemp("data"), n_patients=200)


def test_every_arm_takes_the_same_steps_in_batches_of_the_same_size() -> None:
    plan = study_plan()
    stages = {name: stages_of(plan, arm, 2, COUNTS) for name, arm in plan.arms.items()}
    for name, configs in stages.items():
        assert sum(x.training.steps_per_epoch or 0 for x in configs) == plan.steps, name
        assert {x.training.epochs for x in configs} == {1}
        assert len(configs) == (2 if name == "pretrained" else 1)
    [real] = stages["real"]
    for name in ("dcgan", "pggan", "pggan-conditional", "pggan-modern", "modern-25", "shuffled"):
        assert stages[name] == (real,)
    [oversampled] = stages["oversampled"]
    assert oversampled.training.oversampled_to == dict.fromkeys(RARE, 120)
    again = oversampled.training.model_copy(update={"oversampled_to": {}})
    assert oversampled.model_copy(update={"training": again}) == real
    assert real.seed == 2
    # A synthetic image has as many pixels as a real one.
    assert real.input.canonical_px == real.input.width_px == 64


def test_rare_are_the_labels_with_the_fewest_training_positives(nih: Path) -> None:
    samples, plan = read_samples(nih), study_plan()
    config = plan.config(1, 10)
    found = find_rare(samples, RareRule(labels=4, least_validation=2), config)
    trained = samples.targets[samples.rows(Split.TRAIN)].sum(axis=0)
    counts = dict(zip(LABELS, trained, strict=True))
    del counts[Finding.PNEUMONIA]
    assert sorted(counts[x] for x in found.labels) == sorted(counts.values())[:4]
    others = [n for x, n in zip(LABELS, trained, strict=True) if x not in found.labels]
    assert found.balance_to == int(np.median(others))
    assert all(found.validation[x] >= 2 for x in found.judged)
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


def test_a_teacher_gives_each_image_once_to_the_label_that_it_shows_most() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((100, len(LABELS))).astype(np.float32)
    hernia, edema = (LABELS.index(x) for x in (Finding.HERNIA, Finding.EDEMA))
    logits[7, [hernia, edema]] = 9
    frequency = dict.fromkeys(LABELS, 0.1)
    chosen = choose(logits, frequency, {Finding.HERNIA: 3, Finding.EDEMA: 2})
    assert len(set(chosen.places)) == 5
    assert chosen.places[0] == 7
    assert set(chosen.places[:3]) == set(np.argsort(-logits[:, hernia])[:3])
    # The tenth of the pool that ranks highest for a label has it, as a tenth of the patients do.
    assert {"Hernia", "Edema"} <= chosen.stated[0]
    for place, stated in zip(chosen.places, chosen.stated, strict=True):
        for column, label in enumerate(LABELS):
            ranked = (logits[:, column] > logits[place, column]).sum() < 10
            assert ranked <= (label.value in stated)
    with pytest.raises(ValueError, match="500 images from a pool of 100"):
        choose(logits, frequency, {Finding.HERNIA: 500})


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"a": {"says": "a", "kind": "real"}}, "at least 2"),
        (
            {x: {"says": x, "kind": "oversampled", "share": 1.0} for x in "ab"},
            "one arm must be of kind real, and 0 are",
        ),
        (
            {"a": {"says": "a", "kind": "synthetic", "share": 1.0}},
            "arms.a: an arm of kind synthetic needs `generator`",
        ),
        (
            {"a": {"says": "a", "kind": "real", "share": 1.0}},
            "arms.a: an arm of kind real has no use for `share`",
        ),
        (
            {"a": {"says": "a", "kind": "synthetic", "generator": "g", "share": -1.0}},
            "`share` must be above 0",
        ),
        (
            {"a": {"says": "a", "kind": "oversampled", "share": 1.0, "shuffled": True}},
            "has no labels to shuffle",
        ),
        ({"a": {"says": "a", "kind": "real", "shares": 1.0}}, "shares"),
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
    with pytest.raises(ConfigError, match="is no YAML"):
        load_plan(tmp_path / "broken.yaml")


@pytest.mark.parametrize("seeds", [(), (1,), (2, 2)])
def test_one_seed_is_refused(seeds: tuple[int, ...]) -> None:
    with pytest.raises(GanError, match=r"by one seed.*run the study with two seeds or more"):
        refuse_too_few_seeds(seeds)


def test_trainings_that_share_a_gpu_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr_gan.study.command.usable_cores", lambda: 16)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert workers_of(1) == ()
    assert workers_of(4) == ("training.workers=3",)
    assert workers_of(12) == ("training.workers=0",)
