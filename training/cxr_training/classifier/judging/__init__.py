"""Judging a published classifier: its own files, read as they are served, on validation patients.

Everything a manifest says of a model is measured again, from the pixels of the radiographs to the
figures, and written as CSVs, plots and a page that is made of the CSVs.
"""

from cxr_training.classifier.judging.completing import complete
from cxr_training.classifier.judging.judge import (
    Judgement,
    JudgementError,
    comparison,
    judge,
)
from cxr_training.classifier.judging.results import write_results

__all__ = ["Judgement", "JudgementError", "comparison", "complete", "judge", "write_results"]
