# SPDX-License-Identifier: Apache-2.0
# For Debian 12's pex (1.5.3), whose bundles fail at start under Python 3.11 as soon as the machine has a
# .pth file among its packages: they open those in a mode, "rU", that Python no longer has. `pex -p` puts
# this file at the head of the bundle.
import builtins

open_of_python_3 = builtins.open


def open_in_any_mode(file, mode="r", *arguments, **options):
    return open_of_python_3(file, mode.replace("U", ""), *arguments, **options)


builtins.open = open_in_any_mode
