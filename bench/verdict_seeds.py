"""The default verdict of `gradpath compare` for seeds 0 to 4: does what it says depend on the seed?

    python bench/verdict_seeds.py [epochs] [seeds]

Runs the default comparison once per seed with fixed epochs (those that five minutes allowed on the machine named in
the result) and keeps, for each seed, the paragraph, the rules that spoke, and each net's losses and accuracies.
"""

from __future__ import annotations

import sys

from _common import keep

from gradpath.report import findings, paragraph
from gradpath.training import compare


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    rows = []
    for seed in range(seeds):
        comparison = compare(epochs=epochs, seed=seed)
        nets = {
            net.name: {
                "train_loss": round(net.epochs[-1].train_loss, 4) if net.epochs else None,
                "test_accuracy": round(net.epochs[-1].test_accuracy, 4) if net.epochs else None,
                "learning_rate": net.recipe.learning_rate,
                "diverged_at_step": net.diverged_at_step,
                "stem_gradient_norm": net.gradient.initial.stem_gradient_norm if net.gradient else None,
                "effective_depth": net.gradient.initial.effective_depth if net.gradient else None,
            }
            for net in comparison.nets
        }
        spoke = [finding.rule for finding in findings(comparison)]
        rows.append({"seed": seed, "seconds": round(comparison.seconds), "rules": spoke, "nets": nets})
        rows[-1]["paragraph"] = paragraph(comparison)
        same = all(row["rules"] == rows[0]["rules"] for row in rows)
        keep("verdict_seeds", {"epochs": epochs, "same_rules_for_all_seeds": same, "seeds": rows})


if __name__ == "__main__":
    main()
