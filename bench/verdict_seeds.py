"""The default verdict of `gradpath compare` for seeds 0 to 4: does what it says depend on the seed?

    python bench/verdict_seeds.py FOLDER [epochs] [seeds]

Runs the default comparison once per seed into FOLDER/SEED, with fixed epochs (those that five minutes allowed on the
machine named in the result); a record that is already there is read instead. Keeps, for each seed, the rules that
spoke and each net's losses and accuracies, and which rules spoke for every seed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from _common import keep

import gradpath as gp
from gradpath.record import Comparison, RunRecord
from gradpath.report import findings
from gradpath.training import compare


def net_row(net: RunRecord) -> dict[str, Any]:
    last = net.epochs[-1] if net.epochs else None
    first = net.gradient.initial if net.gradient else None
    return {
        "train_loss": last and round(last.train_loss, 4),
        "test_accuracy": last and round(last.test_accuracy, 4),
        "learning_rate": net.recipe.learning_rate,
        "steps": net.steps,
        "diverged_at_step": net.diverged_at_step,
        "stem_gradient_norm": first and first.stem_gradient_norm,
        "effective_depth": first and first.effective_depth,
    }


def of_seed(folder: Path, seed: int, epochs: int) -> Comparison:
    place = folder / str(seed)
    if (place / "compare.json").is_file():
        record = gp.read(place)
        if isinstance(record, Comparison) and len(record.nets) == 6:
            return record
    return compare(epochs=epochs, seed=seed, output=place)


def main() -> None:
    folder = Path(sys.argv[1])
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    records = [of_seed(folder, seed, epochs) for seed in range(count)]
    spoke = [[finding.rule for finding in findings(record)] for record in records]
    keep(
        "verdict_seeds",
        {
            "epochs": epochs,
            "rules_that_spoke_for_every_seed": [rule for rule in spoke[0] if all(rule in rules for rules in spoke)],
            "rules_that_did_not": sorted(
                {rule for rules in spoke for rule in rules if not all(rule in r for r in spoke)}
            ),
            "seeds": [
                {"seed": record.seed, "rules": rules, "nets": {net.name: net_row(net) for net in record.nets}}
                for record, rules in zip(records, spoke, strict=True)
            ],
        },
    )


if __name__ == "__main__":
    main()
