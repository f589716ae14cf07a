"""What a person who runs a command can mend."""


class ScreeningError(Exception):
    """Ends the command with one sentence and exit status 2."""
