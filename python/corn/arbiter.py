# SPDX-License-Identifier: Apache-2.0
"""Names of gunicorn.arbiter. The arbiter itself is a program, arbiterd; hooks get an object that
stands for it."""


class Arbiter:
    """What scripts may refer to by this name: exit statuses and annotations."""

    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    def __init__(self, app):
        self.app = app

    def run(self):
        self.app.run()
