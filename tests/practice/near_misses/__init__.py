"""Near misses, a module for each page: `WRONG` gives for an exercise, from the right answer, some wrong ones."""

import importlib
import pkgutil

WRONG = {}
for page in pkgutil.iter_modules(__path__):
    WRONG |= importlib.import_module(f"{__name__}.{page.name}").WRONG
