"""Build the images that the wheel ships: 5,000 training and 1,000 test images of Fashion-MNIST, balanced.

    python scripts/build_fashion_mini.py FOLDER_WITH_THE_FOUR_IDX_FILES

The folder holds the official files (https://github.com/zalandoresearch/fashion-mnist, MIT licence; on Debian:
`apt-get install dataset-fashion-mnist`), gzipped or not; their contents are checked against the sums below.
The same images come out every time: per class, the first ones of a permutation by a fixed seed.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np

from gradpath.training._idx import parse_idx

SEED = 2017
PER_CLASS = {"train": 500, "t10k": 100}
SHA256 = {  # of the uncompressed files
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
TARGET = Path(__file__).parents[1] / "src/gradpath/training/assets/fashion-mini.npz"


def official(folder: Path, name: str) -> bytes:
    """The content of one official file, checked."""
    zipped = folder / f"{name}.gz"
    content = gzip.decompress(zipped.read_bytes()) if zipped.is_file() else (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise SystemExit(f"{folder / name}: is not the official file (its SHA-256 differs)")
    return content


def select(folder: Path, part: str, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A balanced selection of one part, in random order: images (N, 1, 28, 28) and labels (N,), both uint8."""
    images = parse_idx(official(folder, f"{part}-images-idx3-ubyte"), f"{part} images")
    labels = parse_idx(official(folder, f"{part}-labels-idx1-ubyte"), f"{part} labels")
    order = random.permutation(len(labels))
    chosen = np.concatenate([order[labels[order] == c][: PER_CLASS[part]] for c in range(10)])
    chosen = random.permutation(chosen)
    return images[chosen][:, None], labels[chosen]


def main() -> None:
    folder = Path(sys.argv[1])
    random = np.random.default_rng(SEED)
    train_images, train_labels = select(folder, "train", random)
    test_images, test_labels = select(folder, "t10k", random)
    np.savez_compressed(
        TARGET,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
    )
    print(f"{TARGET}: {TARGET.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
