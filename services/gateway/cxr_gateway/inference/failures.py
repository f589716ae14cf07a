"""What can be wrong with an inference service, as the gateway reports it."""

from cxr_gateway.core.schemas import FailureKind, ModelRole, StudyProblem

__all__ = ["FailureKind", "InferenceFailure"]


class InferenceFailure(Exception):
    """A service gave no usable response; `detail` continues "the classifier failed: ..."."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail

    def problem(self, role: str) -> StudyProblem:
        """The line in the study's `problems`."""
        detail = f"The {role} is missing from this answer: {self.detail}."
        return StudyProblem(service=ModelRole(role), kind=self.kind, detail=detail)
