# SPDX-License-Identifier: Apache-2.0
"""Corn from Python: the shape of gunicorn's package, arbiterd's process model behind it."""

version_info = (0, 1, 0)
__version__ = ".".join(map(str, version_info))
SERVER = "corn"
SERVER_SOFTWARE = f"{SERVER}/{__version__}"
