"""`python -m experiments` runs the experiments, all or some; what is finished is not run again."""

import argparse

from experiments import against_pca, incomplete, regimes, whitening

EXPERIMENTS = {
    "whitening": whitening.whitening,
    "regimes": regimes.regimes,
    "incomplete": incomplete.incomplete,
    "against_pca": against_pca.against_pca,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=EXPERIMENTS, help="default: all of them")
    for name in parser.parse_args().only:
        EXPERIMENTS[name]()


if __name__ == "__main__":
    main()
