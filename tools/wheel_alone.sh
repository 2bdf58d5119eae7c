#!/usr/bin/env bash
# The wheel alone: in an environment of its own and from an empty folder it does what README.md says.
#
#   tools/wheel_alone.sh PYTHON WHEEL PLACE      PLACE is a folder that does not exist yet
set -euo pipefail
python="$1" wheel="$2"
mkdir -p "$3/empty" && place="$(cd "$3" && pwd -P)"
version="$(basename "$wheel" | cut -d- -f2)"
"$python" -m venv "$place/environment"
"$place/environment/bin/python" -m pip install --quiet "$wheel"
cd "$place/empty"
"$place/environment/bin/python" -c "
import sys
import pretamane_analysis as package
assert package.__version__ == sys.argv[1], package.__version__
assert package.__file__.startswith(sys.argv[2]), package.__file__" "$version" "$place"
pretamane() { "$place/environment/bin/python" -m pretamane_analysis "$@"; }
"$place/environment/bin/pretamane" --version | grep -F "$version"
pretamane cost --format json | "$place/environment/bin/python" -m json.tool >/dev/null
pretamane report --out out
for file in index.html report.md compare.json audit.json tables/compare.csv pictures/cost.svg pictures/drawing-ec2.png; do
    [ -s "out/$file" ] || { echo "the report has no $file"; exit 1; }
done
pretamane emit host
[ -s host/compose/compose.yaml ] || { echo "nothing was emitted"; exit 1; }
pretamane check host --no-tools
