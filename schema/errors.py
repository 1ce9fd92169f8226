"""One exception a kind of ending; the command line turns each into its exit code and prints its message, never a traceback."""


class SynthmillError(Exception):
    """Something a person can put right. The message names the file or key and says what to do next."""

    exit_code = 1


class UsageError(SynthmillError):
    """The command line or params.yaml asks for something that cannot be."""

    exit_code = 2


class GateFailed(SynthmillError):
    """A required gate did not pass; nothing was published."""

    exit_code = 3


class ApprovalNeeded(SynthmillError):
    """The release waits for a person."""

    exit_code = 4


class NewerFormat(SynthmillError):
    """Written by a later synthmill, in a format that this one cannot know."""


class IntegrityError(SynthmillError):
    """Bytes are not the ones that their digest names."""

    exit_code = 5
