# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import sys

PACKAGES = pathlib.Path(os.environ["CORN_BUILD"]) / "python"
sys.dont_write_bytecode = True
sys.path.insert(0, str(PACKAGES))
