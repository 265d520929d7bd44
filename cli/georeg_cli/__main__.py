"""`python -m georeg_cli` is `georeg`."""

from georeg_cli.main import main

main()
