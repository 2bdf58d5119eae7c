"""`python -m pretamane_analysis` is the command `pretamane`."""
import sys

from pretamane_analysis.cli.main import main

sys.exit(main())
