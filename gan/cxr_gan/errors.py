"""The error of every command: a sentence that the user can act on."""


class GanError(RuntimeError):
    """What was asked for cannot be done; the message says why, with the file and the entry."""
