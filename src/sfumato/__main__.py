"""`python -m sfumato`, which is how `torchrun` starts it.

Python looks for modules in the current folder first when it is started like this. That folder may hold anyone's data,
and a `torch.py` among them: it is left out before anything is imported.
"""

import os
import sys

if sys.path[:1] in ([""], [os.getcwd()]):  # noqa: PTH109 - nothing may be imported for it
    del sys.path[0]

if __name__ == "__main__":  # worker processes import this file too, and need nothing of the command line
    from sfumato.cli import main

    main()
