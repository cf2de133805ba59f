# SPDX-License-Identifier: Apache-2.0
"""python3 -m corn [OPTIONS] APP: arbiterd with these arguments."""
from corn.app.wsgiapp import run

if __name__ == "__main__":
    run()
