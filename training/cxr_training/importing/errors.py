"""The error of every import: a sentence that says what is wrong with the weights."""

from cxr_training.core.errors import PublishError


class ModelImportError(PublishError):
    """The weights cannot be imported; nothing was written."""
