"""Where the classifier looks, against boxes that radiologists drew.

A class activation map of a finding is evaluated on the radiographs on which somebody boxed this
finding, whatever NIH's mined labels say of them; one finding on one radiograph is one case, with
the boxes of all annotators. Maps are enlarged bilinearly to `FRAME_PX` a side, and a pixel belongs
to a box if its centre does.

Figures, each with a 95% interval by bootstrap over patients:

- `pointing_game`: share of cases in which the map's maximum lies in a box of the finding. No
  tolerance; of several equal maxima each counts by its share.
- `cam_iou`: mean intersection over union of the thresholded map with the union of the boxes. The
  threshold is a fraction of the map's own range between minimum and maximum; it is chosen, as
  everything that a baseline knows, on training patients' boxes (`fit`).

A row's subset names a finding with enough cases, `all` (mean over all cases) or `macro` (mean over
those findings), and then `/baseline=random`, `centre` or `prior`: the same figure of what needs no
radiograph. Random points anywhere, and lays a square of the thresholded map's area anywhere
(expected values). Centre points at the middle, and lays there a square of the boxes' mean area.
Prior has for a map how often each pixel lay in a training box of the finding.

`pointing_game_gain` and `cam_iou_gain` are the map's figure less the named baseline's.
"""
