# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, under gunicorn's names."""


class HaltServer(BaseException):
    """Ends the server with a reason and an exit status."""

    def __init__(self, reason, exit_status=1):
        super().__init__(reason, exit_status)
        self.reason = reason
        self.exit_status = exit_status


class ConfigError(Exception):
    """A configuration that can't be used."""


class AppImportError(Exception):
    """An application that can't be had from the place it is named at."""
