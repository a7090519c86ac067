"""`python -m fillip.app`."""

from fillip.app.cli import main

main()
