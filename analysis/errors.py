"""What is wrong with results and captures, in words for who gave them."""


class AnalysisError(Exception):
    """Something about files, runs or connections that a user can look at; the message is one line."""


class UnreadableFile(AnalysisError):
    """A file that is missing or not as expected."""


class UnreadableRun(UnreadableFile):
    """A run directory that is not as expected."""


class ForeignPlace(AnalysisError):
    """A file that would be written outside of the directory it was meant for."""


class Unforeseen(UnreadableFile):
    """Something failed on data in a way that was not foreseen: they are not as expected, or the code has a mistake.

    The cause is kept (`__cause__`).
    """
