"""Known vulnerabilities in what the package installs, by pip-audit; says so where its data cannot be reached.

Exit code 0: nothing is known, or nothing could be asked, which is said; 1: something is known.
"""
from __future__ import annotations

import json
import subprocess
import sys

from licenses import shipped
from packaging.utils import canonicalize_name
from tabulate import tabulate


def main() -> int:
    """Ask, and tell what was found and what could not be asked"""
    done = subprocess.run([sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off",
                           "--skip-editable"],
                          capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        print(f"audit: nothing was asked, the advisories cannot be reached: "
              f"{(done.stderr.splitlines() or ['no answer'])[-1]}")
        return 0
    every = [each for each in json.loads(done.stdout)["dependencies"] if canonicalize_name(each["name"]) in shipped()]
    asked = [each for each in every if "skip_reason" not in each]
    known = [(each["name"], each["version"], found["id"], ", ".join(found["fix_versions"]) or "none") for each in asked
             for found in each["vulns"]]
    if known:
        print(tabulate(known, ("package", "version", "advisory", "mended in")))
    elif not asked:
        print(f"audit: nothing was asked, the advisories of {len(every)} packages cannot be reached")
    else:
        print(f"audit: {len(asked)} of {len(every)} packages asked, no known vulnerability")
    return int(bool(known))


if __name__ == "__main__":
    sys.exit(main())
