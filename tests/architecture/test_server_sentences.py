"""The page's list of the gateway's sentences is the one that the code makes."""

import json

from deploy.server_sentences import ROOT, sentences


def test_every_sentence_that_a_study_may_carry_is_listed_for_the_page() -> None:
    listed = json.loads((ROOT / "frontend/src/i18n/sentences.json").read_text())
    told = "run `make generate`, and translate what is new in frontend/src/locales/"
    assert listed == sentences(), told


def test_those_of_the_commonest_places_are_among_them() -> None:
    found = "\n".join(sentences())
    for part in ("turned to hang as usual", "its probability of", "is missing from this answer"):
        assert part in found
