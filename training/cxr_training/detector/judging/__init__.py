"""Judging published detectors: their own files, read as they are served, on validation patients.

Everything a manifest says of a model is measured again, from the pixels of the radiographs to the
figures, and several models are put side by side: CSVs first, then plots and a page made of them.
"""

from cxr_training.detector.judging.judge import Judgement, JudgementError, comparison, judge
from cxr_training.detector.judging.results import write_results

__all__ = ["Judgement", "JudgementError", "comparison", "judge", "write_results"]
