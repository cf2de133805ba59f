# SPDX-License-Identifier: Apache-2.0
"""A module that fails while it is imported."""


def set_up():
    raise RuntimeError("the database is not there")


set_up()
application = None
