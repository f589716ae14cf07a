"""`python -m cxr_training.triage --data DATA`: writes docs/results/triage/."""

import argparse
from pathlib import Path

from cxr_training.data import nih
from cxr_training.data.splits import Split, assign_splits
from cxr_training.triage.evaluation import evaluate, write
from cxr_training.triage.readings import triaged


def main() -> None:
    """Read the validation radiographs, triage them, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
    parser.add_argument("--classifier", type=Path, default=Path("models/classifier/lite0-nih14"))
    parser.add_argument("--detector", type=Path, default=Path("models/detector/yolov5n-cxr"))
    parser.add_argument("--joining", type=Path, default=Path("models/joining"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/triage"))
    options = parser.parse_args()
    root = options.data / "nih"
    images = nih.read_images(root)
    splits = assign_splits(
        (image.patient for image in images),
        official_test=nih.read_official_test_patients(root),
        boxed={nih.patient_of(name) for name in nih.read_boxes(root)},
    )
    validation = [image for image in images if splits[image.patient] is Split.VALIDATION]
    readings = triaged(validation, options.classifier, options.detector, options.joining)
    rows = evaluate(list(readings))
    write(rows, options.out)
    print((options.out / "README.md").read_text())


if __name__ == "__main__":
    main()
