#!/bin/sh
# Installs the Debian packages named in PACKAGES that are missing. Where it cannot, it says so and stops nobody:
# what needs an absent tool fails, or says that it was skipped, by itself.
set -eu
missing=""
for package in ${PACKAGES:-}; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "tools: nothing is missing"
elif ! command -v apt-get >/dev/null 2>&1; then
    echo "tools: not installed, for want of apt-get:$missing"
elif [ "$(id -u)" -ne 0 ]; then
    echo "tools: not installed, for want of root; run: sudo apt-get install$missing"
else
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || echo "tools: the lists of packages could not be updated"
    # shellcheck disable=SC2086  # a list of names
    apt-get install -qq -y --no-install-recommends $missing || {
        # One that this distribution does not have must not keep the others away.
        for package in $missing; do
            apt-get install -qq -y --no-install-recommends "$package" || echo "tools: apt-get could not install $package"
        done
    }
fi
