"""`python -m warmcell`: the command line."""

from warmcell.cli import main

main(prog_name="warmcell")
