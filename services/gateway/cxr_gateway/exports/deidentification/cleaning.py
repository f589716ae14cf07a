"""A data set cleaned by the profile, at every level: a name in a sequence is a name, too."""

from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from cxr_gateway.exports.deidentification.profile import METHOD, METHOD_CODE, Action, action_for
from cxr_gateway.exports.deidentification.pseudonyms import Pseudonyms

_WORD = "REMOVED"
_ZEROS = bytes(8)
_DUMMIES: dict[str, Any] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), _WORD),
    **dict.fromkeys(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT"), 0),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), _ZEROS),
    **dict.fromkeys(("DS", "IS"), "0"),
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "http://removed.invalid",
}


def cleaned(ds: Dataset, pseudonyms: Pseudonyms, *, big_endian: bool = False) -> Dataset:
    """A copy of `ds` with what the profile keeps, and what the profile adds.

    Args:
        ds: as it was read; an element that cannot be read is left out.
        pseudonyms: of the installation.
        big_endian: whether `ds` came from a file that is; what is returned is little-endian.
    """
    kept = _Cleaning(pseudonyms, big_endian).of(ds)
    if "PatientID" in kept:
        kept.PatientID = pseudonyms.patient(str(ds.get("PatientID") or ""))
    kept.PatientIdentityRemoved = "YES"
    kept.DeidentificationMethod = list(METHOD)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = METHOD_CODE
    kept.DeidentificationMethodCodeSequence = Sequence([code])
    kept.LongitudinalTemporalInformationModified = "REMOVED"
    return kept


class _Cleaning:
    def __init__(self, pseudonyms: Pseudonyms, big_endian: bool) -> None:
        self._pseudonyms = pseudonyms
        self._big_endian = big_endian

    def of(self, ds: Dataset) -> Dataset:
        kept = Dataset()
        for tag in list(ds.keys()):
            try:
                element = ds[tag]
                # Its VR is what the dictionary says where the file does not know.
                changed = self._changed(element, action_for(element.tag, str(element.VR)))
            except Exception:  # noqa: S112
                continue  # whatever is wrong with it: it cannot be understood, so it goes
            if changed is not None:
                kept.add(changed)
        return kept

    def _changed(self, element: DataElement, action: Action) -> DataElement | None:
        if action is Action.REMOVE:
            return None
        if action is Action.EMPTY:
            return DataElement(element.tag, element.VR, None)
        if element.VR == "SQ":
            item_of = self._dummy_item if action is Action.DUMMY else self.of
            return DataElement(element.tag, "SQ", Sequence(map(item_of, element.value)))
        if action is Action.UID or (element.VR == "UI" and action is Action.DUMMY):
            return DataElement(element.tag, "UI", self._uids(element.value))
        if action is Action.DUMMY:
            return DataElement(element.tag, element.VR, _DUMMIES[element.VR])
        return self._little_endian(element)

    def _dummy_item(self, ds: Dataset) -> Dataset:
        item = Dataset()
        for tag in list(ds.keys()):
            if action_for(ds[tag].tag, str(ds[tag].VR)) is Action.REMOVE:
                continue
            dummy = self._changed(ds[tag], Action.DUMMY)
            if dummy is not None:
                item.add(dummy)
        return item

    def _uids(self, value: Any) -> Any:
        if not isinstance(value, str):
            return [self._uid(one) for one in value or ()]
        return self._uid(value)

    def _uid(self, original: str) -> str:
        """One that the standard defines says what a thing is, and stays; others say which it is."""
        if not original or UID(original).name != original:
            return original
        return self._pseudonyms.uid(original)

    def _little_endian(self, element: DataElement) -> DataElement:
        if self._big_endian and element.VR == "OW" and element.value:
            swapped = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()
            return DataElement(element.tag, "OW", swapped)
        return element
