"""Where detectors of different vocabularies are compared, and on which regions."""

import pytest

from cxr_contracts import Region
from cxr_training.data.annotations import CHESTX_DET, NIH
from cxr_training.detector.benchmark import SHARED_REGIONS, BenchmarkSubset, classes_on


@pytest.mark.parametrize(
    ("own", "names"),
    [
        (frozenset(Region), {"shared": 6, "all": 13}),
        (NIH.regions, {"shared": 6}),
        (frozenset({Region.MASS, Region.PNEUMONIA}), {"known": 1}),
        (frozenset({Region.PNEUMONIA}), {}),
    ],
)
def test_a_model_is_evaluated_over_regions_that_it_knows_all_of(
    own: frozenset[Region], names: dict[str, int]
) -> None:
    regions = tuple(region for region in Region if region in CHESTX_DET.regions)
    subset = BenchmarkSubset("chestx-det", regions, ())
    chosen = classes_on(subset, sorted(own))
    assert {name: len(of) for name, of in chosen.items()} == names
    assert all(set(of) <= own for of in chosen.values())
    assert len(SHARED_REGIONS) == 6
