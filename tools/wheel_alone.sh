#!/usr/bin/env bash
# The wheel alone: in an environment of its own and from an empty folder it does what README.md says.
#
#   tools/wheel_alone.sh PYTHON WHEEL PLACE      PLACE is a folder that does not exist yet
set -euo pipefail
python="$1" wheel="$2" here="$(cd "$(dirname "$0")" && pwd -P)"
mkdir -p "$3/empty" && place="$(cd "$3" && pwd -P)"
version="$(basename "$wheel" | cut -d- -f2)"
"$python" -m venv "$place/environment"
sh "$here/install.sh" "$place/environment/bin/python" "$wheel"
cd "$place/empty"
"$place/environment/bin/python" -c "
import sys
import pretamane_analysis as package
assert package.__version__ == sys.argv[1], package.__version__
assert package.__file__.startswith(sys.argv[2]), package.__file__" "$version" "$place"
pretamane() { "$place/environment/bin/python" -m pretamane_analysis "$@"; }
"$place/environment/bin/pretamane" --version | grep -F "$version"
pretamane cost --format json | "$place/environment/bin/python" -m json.tool >/dev/null
twelve=(us-east-1 us-east-2 us-west-2 eu-west-1 eu-west-2 eu-central-1 eu-west-3 ap-southeast-1 ap-southeast-2
    ap-northeast-1 ap-northeast-2 ap-south-1)
pretamane prices coverage --format json | "$place/environment/bin/python" -c "
import json, sys
regions = json.load(sys.stdin)['regions']
lacking = [each for each in sys.argv[1:] if not regions[each]['complete']]
assert not lacking, f'prices of the example are missing in {lacking}'" "${twelve[@]}"
pretamane compare --region eu-west-3 >/dev/null
pretamane report --out out
for file in index.html report.md compare.json audit.json tables/compare.csv pictures/cost.svg pictures/drawing-ec2.png; do
    [ -s "out/$file" ] || { echo "the report has no $file"; exit 1; }
done
pretamane emit host
[ -s host/compose/compose.yaml ] || { echo "nothing was emitted"; exit 1; }
pretamane check host --no-tools
