"""`python -m sfumato`, which is how `torchrun` starts it."""

from sfumato.cli import main

main()
