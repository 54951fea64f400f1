"""The exceptions that reach a user as a message instead of a traceback."""


class UserError(Exception):
    """Something the user can mend: a bad path, a bad record, a bad option.

    The command line prints its text as one message and exits with status 2.
    Library code raises it with everything the reader needs to act on it: the file and line,
    the value found, the values that would do. Of several processes that train together, one
    says what all of them have met: `said_elsewhere` is true in the others.
    """

    said_elsewhere = False


class MissingBaseError(UserError):
    """There is no base of the name that was given, or it cannot be had."""


class StoppedError(Exception):
    """A run stopped because a signal asked it to, its state saved.

    The command line prints the text and exits with `status`: 128 + the signal's number.
    `said_elsewhere` is as in `UserError`.
    """

    said_elsewhere = False

    def __init__(self, text: str, signal: int):
        super().__init__(text)
        self.status = 128 + signal


class LostProcessError(UserError):
    """Another process of a run ended before its time."""
