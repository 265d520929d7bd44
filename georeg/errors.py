"""What can go wrong, as a user would sort it: each class carries the exit code the command line ends with.

A message is one sentence or two: the cause with its numbers, then what to do about it.
"""


class GeoregError(Exception):
    """Base of every error georeg raises on purpose."""

    exit_code = 1


class UsageError(GeoregError):
    """The options contradict one another or name something that is not there (a band, a model, a file format)."""

    exit_code = 2


class NotRegistrableError(GeoregError):
    """The inputs are readable, but no trustworthy registration exists (no overlap, no texture, too few matches)."""

    exit_code = 3


class InputError(GeoregError):
    """An input is missing, unreadable, truncated or holds no valid pixel."""

    exit_code = 4


class ResourceError(GeoregError):
    """Memory, disk space or the device ran out."""

    exit_code = 5


class BatchFailedError(GeoregError):
    """A batch came to its end, but some of its pairs failed."""

    exit_code = 6
