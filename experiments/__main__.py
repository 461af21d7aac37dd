"""`python -m experiments` runs the experiments, all or some; a finished run is read from its record, not run again."""

import argparse
import shutil
from pathlib import Path

from experiments import against_pca, binary, exercise, grey_table, incomplete, one_table, regimes, whitening
from experiments.records import CHECKPOINTS, FOLDER

EXPERIMENTS = {  # the names of their checkpoints begin with the second, if they keep any
    "whitening": (whitening.whitening, ("with whitening", "without whitening")),
    "regimes": (regimes.regimes, ("regime",)),
    "incomplete": (incomplete.incomplete, ("incomplete",)),
    "against_pca": (against_pca.against_pca, ("against_pca",)),
    "exercise": (exercise.exercise, ()),
    "binary": (binary.binary, ()),
    "one_table": (one_table.one_table, ()),
    "grey_table": (grey_table.grey_table, ()),
}


def forget(experiment: str, records: Path = FOLDER, checkpoints: Path = CHECKPOINTS) -> None:
    """Removes the record, its arrays and the checkpoints of an experiment. Generators stay until others are learned."""
    for kind in ("json", "npz"):
        (records / f"{experiment}.{kind}").unlink(missing_ok=True)
    for begin in EXPERIMENTS[experiment][1]:
        for path in checkpoints.glob(f"{begin}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=EXPERIMENTS, help="default: all of them")
    parser.add_argument("--again", action="store_true", help="forget what they measured and start from nothing")
    arguments = parser.parse_args()
    if arguments.again:
        for name in arguments.only:
            forget(name)
    else:
        print("What is on file in data/experiments is read, not run; --again starts from nothing.", flush=True)
    for name in arguments.only:
        EXPERIMENTS[name][0]()


if __name__ == "__main__":
    main()
