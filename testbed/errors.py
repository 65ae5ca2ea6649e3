"""Errors that a user can act on: one clear line and an exit code, never a traceback."""


class LabError(Exception):
    """Something the user can mend. `message` is one line; `exit_code` is what the command line returns."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


class Unsupported(LabError):
    """This machine (its kernel, most often) lacks something that was asked for."""

    def __init__(self, message: str, exit_code: int = 3) -> None:
        super().__init__(message, exit_code)
