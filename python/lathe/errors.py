# SPDX-License-Identifier: Apache-2.0
"""What can go wrong. `code` is the exit code that the command line gives for the same."""


class Error(Exception):
    """Base of all errors of this package. The text says where, what, why, and what to do."""

    code = 1


class FailedError(Error, RuntimeError):
    """It failed while running: a file could not be written, memory ran out, a kernel found its input invalid."""

    code = 1


class UsageError(Error, ValueError):
    """Wrong arguments, or input names, types or shapes."""

    code = 2


class UnsupportedError(Error, NotImplementedError):
    """The model uses what is not supported (every such node is listed), or exceeds a limit."""

    code = 3


class DamagedError(Error, ValueError):
    """The file is damaged, of no known format, or lacks its external data."""

    code = 4


class IntegrityError(Error):
    """A checksum or signature does not match, or the engine's native code is not trusted."""

    code = 5


class NoTargetError(Error):
    """The engine has no code for this device."""

    code = 6


class InterruptedBuild(Error):
    """The progress function asked to stop. Nothing was written."""

    code = 130


_BY_CODE = {
    kind.code: kind
    for kind in (
        FailedError,
        UsageError,
        UnsupportedError,
        DamagedError,
        IntegrityError,
        NoTargetError,
        InterruptedBuild,
    )
}


def from_code(code: int, message: bytes | str) -> Error:
    """The exception for a status of the C ABI."""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
    return _BY_CODE.get(code, FailedError)(text)
