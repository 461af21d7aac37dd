"""Writes docs/explorer.html from the shipped generator and the eleven faces."""

from pathlib import Path

import abp_jax as abp

PAGE = Path(__file__).parent.parent / "docs" / "explorer.html"


def main():
    generator, z = abp.load_lion_tiger_generator()
    labels = abp.lion_tiger_labels()
    names = [f"{label} {labels[: i + 1].count(label)}" for i, label in enumerate(labels)]
    report = abp.export_explorer(
        generator, PAGE, z=z, images=abp.load_lion_tiger(), names=names, title="From lion to tiger"
    )
    print(f"{report.path.name}: {report.num_bytes / 1e6:.2f} MB, {report.error:.1f} of 255 from the generator")


if __name__ == "__main__":
    main()
