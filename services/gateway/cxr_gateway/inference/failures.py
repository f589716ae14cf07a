"""What can be wrong with a reader, as the gateway tells it."""

from enum import StrEnum

from cxr_gateway.core.schemas import StudyProblem


class FailureKind(StrEnum):
    """The `kind` of a `StudyProblem`."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    ERROR = "error"
    INVALID_ANSWER = "invalid-answer"


class InferenceFailure(Exception):
    """A reader gave no usable answer; `detail` continues the sentence "the reader failed: ..."."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail

    def problem(self, role: str) -> StudyProblem:
        """The line in the study's `problems`."""
        detail = f"The {role} is missing from this answer: {self.detail}."
        return StudyProblem(part=role, kind=self.kind.value, detail=detail)
