"""``python -m bayes_scaling``, which is ``bayes-scaling``."""

import sys

from bayes_scaling.cli import main

if __name__ == "__main__":
    sys.exit(main())
