"""`python -m tokenward`: the same as the `tokenward` command."""

from .cli import main

main()
