#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: build.sh zipapp|pex PACKAGES OUTPUT
# Makes one executable file of the application and Corn's Python package, which lies in PACKAGES:
# build/release/python in a build tree, /usr/lib/python3/dist-packages where Corn is installed.
set -euo pipefail

kind=$1 packages=$2 output=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
cp -r "$here/application/." "$sources"
(cd "$packages" && find corn -name '*.py' -exec cp --parents {} "$sources" ';')

case $kind in
  zipapp)
    /usr/bin/python3 -m zipapp "$sources" --main corn.app.wsgiapp:run \
      --python /usr/bin/python3 --output "$output"
    ;;
  pex)
    pex --sources-directory "$sources" --entry-point corn.app.wsgiapp:run \
      --preamble-file "$here/pex_preamble.py" --python-shebang /usr/bin/python3 \
      --output-file "$output"
    ;;
  *)
    echo "build.sh: '$kind' is neither zipapp nor pex" >&2
    exit 2
    ;;
esac
