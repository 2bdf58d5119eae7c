"""Files that no one can read."""
from __future__ import annotations

from mutants import Mutant, replaced

MUTANTS = [
    Mutant("X00", "compose file that is no YAML",
           replaced("compose/compose.yaml", "services:\n", "services: [\n"), "X00"),
    Mutant("X00", "a key that stands twice",
           replaced("compose/compose.yaml", "    restart: 'no'\n", "    restart: 'no'\n    restart: always\n"), "X00"),
    Mutant("X00", "a brace lost in the Caddyfile", replaced("caddy/Caddyfile", "}\n", "\n"), "X00"),
    Mutant("X00", "an import of a snippet that is gone",
           replaced("caddy/Caddyfile", "(security_headers)", "(headers)"), "X00"),
]
