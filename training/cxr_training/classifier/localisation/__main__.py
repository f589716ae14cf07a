"""`python -m cxr_training.classifier.localisation`: judge a published model's maps."""

import argparse
import os
import sys
from pathlib import Path

from cxr_serving.model_folder import ModelFolderError, open_model_folder
from cxr_training.classifier.localisation.judging import judge_localisation
from cxr_training.classifier.localisation.report import localisation_table, write_localisation
from cxr_training.data.errors import DataError


def main(arguments: list[str] | None = None) -> int:
    """Write the figures and print them; the exit status, 1 for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m cxr_training.classifier.localisation", description=__doc__
    )
    parser.add_argument("--model", type=Path, default=Path("models/classifier/lite0-nih14"))
    parser.add_argument("--data", type=Path, required=True, help="holds nih/ and chestx-det/")
    parser.add_argument("--results", type=Path, required=True, help="for the table and picture")
    options = parser.parse_args(arguments)
    try:
        folder = open_model_folder(options.model, "classifier")
        threads = len(os.sched_getaffinity(0))
        rows = judge_localisation(folder, options.data, threads=threads)
    except (DataError, ModelFolderError) as error:
        sys.stderr.write(f"localisation: {error}\n")
        return 1
    write_localisation(rows, options.results)
    print(localisation_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
