"""The errors that end a command with one sentence and exit status 2.

UserError
├── ConfigError             the configuration cannot be used: mend the file or the override
├── RunError                the run directory is not in the state that the command needs
├── PublishError            the model is not fit to be published
└── data.errors.DataError   the data is not as published: mend the file that it names
    └── HeldOutError        it is a test set, and the command learns: name another folder
"""


class UserError(Exception):
    """Something that the user can mend; the message is one sentence for them."""


class ConfigError(UserError, ValueError):
    """The configuration cannot be used; the message names the file and the key."""


class RunError(UserError, RuntimeError):
    """The run directory is not in the state that the command needs; the message says which."""


class PublishError(UserError, RuntimeError):
    """The model is not fit to be published; the message says why."""
