"""`python -m cli` is `cardtone`."""

from cli.app import main

main()
