# SPDX-License-Identifier: Apache-2.0
"""An application that takes IMPORT_SECONDS (1) to import."""
import os
import time

time.sleep(float(os.environ.get("IMPORT_SECONDS", "1")))

from hello import application  # noqa: E402,F401
