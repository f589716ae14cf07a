"""Bring your own weights: somebody else's checkpoint becomes a model folder that is served."""

from cxr_training.core.errors import PublishError


class ModelImportError(PublishError):
    """The weights cannot be imported; nothing was written. The message is one line."""

    def __init__(self, message: str) -> None:
        # What a library says may be of several lines.
        super().__init__(" ".join(message.split()))
