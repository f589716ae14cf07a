"""One vocabulary, and every data set's spelling of it."""

import pytest
from pydantic import TypeAdapter, ValidationError

from cxr_contracts import (
    Finding,
    Region,
    finding_of_region,
    parse_finding,
    parse_label,
    parse_region,
)


def test_there_are_nihs_fourteen_findings_and_fifteen_kinds_of_box() -> None:
    assert len(Finding) == 14
    assert len(Region) == 15


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Infiltrate", Region.INFILTRATION),  # NIH's box list
        ("Infiltration", Region.INFILTRATION),  # NIH's label file
        ("Pleural Thickening", Region.PLEURAL_THICKENING),  # ChestX-Det
        ("Diffuse Nodule", Region.DIFFUSE_NODULE),
        (" Mass ", Region.MASS),
    ],
)
def test_each_data_sets_spelling_is_understood(written: str, meant: Region) -> None:
    assert parse_region(written) is meant


@pytest.mark.parametrize("text", ["", "No Finding", "Tuberculosis", "mass"])
def test_a_word_outside_the_vocabulary_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid Finding"):
        parse_finding(text)


def test_a_region_knows_the_classifiers_finding_of_the_same_name() -> None:
    assert finding_of_region(Region.EFFUSION) is Finding.EFFUSION
    assert finding_of_region(Region.DIFFUSE_NODULE) is Finding.NODULE
    assert finding_of_region(Region.FRACTURE) is None
    assert finding_of_region(Region.CALCIFICATION) is None


def test_a_label_of_ones_own_is_a_finding_that_is_no_member() -> None:
    own = parse_label(" Metal clip ")
    assert own == Finding("Metal_clip") == "Metal_clip"
    assert own.value == "Metal_clip"
    assert own not in set(Finding)
    assert len(Finding) == 14
    assert finding_of_region(Region("Metal_clip")) == own
    assert type(Region(own).value) is str
    adapter = TypeAdapter(Finding)
    assert adapter.validate_json(adapter.dump_json(own)) == own


@pytest.mark.parametrize("text", ["", "a/b", "../x", "x|y", "x=y", "1st", "x" * 49, "é"])
def test_what_could_not_stand_in_a_file_name_is_no_label(text: str) -> None:
    with pytest.raises(ValueError, match="is no name of a label"):
        parse_label(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Finding).validate_python(text)
