"""``python -m epp`` is the command ``epp``."""

from epp.cli import main

main()
