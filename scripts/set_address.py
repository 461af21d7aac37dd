"""Sets the address of the repository: set_address.py https://github.com/you/abp-jax

It is kept in pyproject.toml ([project.urls] Repository); README.md and the notebooks repeat it in their links.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main(new: str) -> None:
    address = re.fullmatch(r"https://github\.com/([\w-]+/[\w.-]+?)(\.git)?/?", new)
    if not address:
        sys.exit(f"expected an address like https://github.com/you/abp-jax, got {new!r}")
    old = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
    slug = re.escape(old.removeprefix("https://github.com/"))
    for file in [ROOT / "pyproject.toml", ROOT / "README.md", *sorted(ROOT.glob("notebooks/*.ipynb"))]:
        if file.exists():
            text = file.read_text("utf-8")  # also github/you/abp-jax, as the links that open Colab have it
            text, n = re.subn(rf"(\bgithub(?:\.com)?/){slug}(?![\w-])", rf"\g<1>{address[1]}", text)
            file.write_text(text, "utf-8", newline="\n")
            print(f"{file.relative_to(ROOT)}: {n} replaced")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
