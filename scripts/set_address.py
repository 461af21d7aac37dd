"""Sets the address of the repository: set_address.py https://github.com/you/abp-jax

It is kept in pyproject.toml ([project.urls] Repository); the badges and links of README.md and the notebooks repeat it.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def address() -> str:
    """Returns the address of the repository."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]


def main(new: str) -> None:
    match = re.fullmatch(r"https://github\.com/([\w-]+/[\w.-]+?)(\.git)?/?", new)
    if not match:
        sys.exit(f"expected an address like https://github.com/you/abp-jax, got {new!r}")
    slug = re.escape(address().removeprefix("https://github.com/"))
    # also github/you/abp-jax, as the badges that open Colab have it, and gh/you/abp-jax, as those of Binder
    pattern = rf"\b(github\.com/|github/|gh/){slug}(?![\w-])"
    for file in [ROOT / "pyproject.toml", ROOT / "README.md", *sorted(ROOT.glob("notebooks/*.ipynb"))]:
        if file.exists():
            text, n = re.subn(pattern, rf"\g<1>{match[1]}", file.read_text("utf-8"))
            file.write_text(text, "utf-8", newline="\n")
            print(f"{file.relative_to(ROOT)}: {n} replaced")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
