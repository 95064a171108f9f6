"""`python -m gradpath`: the same as the command `gradpath`."""

from gradpath.cli import main

main()
