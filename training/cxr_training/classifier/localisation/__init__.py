"""Where the classifier looks, held against boxes that radiologists drew.

A class activation map of a finding is judged on the radiographs on which somebody boxed this
finding, whatever NIH's mined labels say of them; one finding on one radiograph is one case. Maps
are enlarged bilinearly to `FRAME_PX` a side, and a pixel belongs to a box if its centre does.

Figures, each with a 95% interval by bootstrap over patients:

- `pointing_game`: share of cases in which the map's maximum lies in a box of the finding. No
  tolerance; of several equal maxima each counts by its share.
- `cam_iou`: mean intersection over union of the thresholded map with the union of the boxes.
- `cam_iou_0.1`, `_0.25`, `_0.5`: share of cases with at least this IoU, in the manner of Wang et
  al. (CVPR 2017), who first drew boxes around the map and took T(IoU) of those.

The threshold is a fraction of the map's own range between minimum and maximum; it is chosen, as
everything that a baseline knows, on training patients' boxes (`fit`).

A row's subset names a finding with at least `MIN_IMAGES` cases, `all` (mean over all cases) or
`macro` (mean over those findings), and then, where they apply, in this order:

- `/boxes=nih` or `/boxes=chestx-det`: one annotator's cases and boxes alone; else a finding that
  both boxed on one radiograph is one case, with the boxes of both.
- `/called=positive` or `/called=missed`: the cases that the classifier called, or did not.
- `/baseline=random`, `centre` or `prior`: the same figure of what needs no radiograph. Random
  points anywhere, and lays a square of the thresholded map's area anywhere (expected values).
  Centre points at the middle, and lays there a square of the boxes' mean area. Prior has for a map
  how often each pixel lay in a training box of the finding.

`pointing_game_gain` and `cam_iou_gain` are the map's figure less the named baseline's.
"""

from cxr_training.classifier.localisation.boxes import (
    Annotator,
    Case,
    boxed_training,
    boxed_validation,
)
from cxr_training.classifier.localisation.fitting import Fitted, fit
from cxr_training.classifier.localisation.judging import judge_localisation, read_maps
from cxr_training.classifier.localisation.maps import FRAME_PX, Maps
from cxr_training.classifier.localisation.report import localisation_table, write_localisation
from cxr_training.classifier.localisation.rows import MIN_IMAGES, localisation_rows

__all__ = [
    "FRAME_PX",
    "MIN_IMAGES",
    "Annotator",
    "Case",
    "Fitted",
    "Maps",
    "boxed_training",
    "boxed_validation",
    "fit",
    "judge_localisation",
    "localisation_rows",
    "localisation_table",
    "read_maps",
    "write_localisation",
]
