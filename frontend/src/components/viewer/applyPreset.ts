import type { Dispatch } from "react";

import { imageUrl } from "../../api/urls";
import { type Preset, presetWindow, renderedHistogram } from "../../domain/presets";
import { histogramOfOwn, type OwnGreys } from "../../state/useGreys";
import type { ViewerAction } from "../../state/viewer";
import { histogramOf } from "./histogram";

/** Sets the window of a preset, which depends on the greys of this very image. */
export function applyPreset(
  studyId: string,
  own: OwnGreys,
  preset: Preset,
  dispatch: Dispatch<ViewerAction>,
): void {
  const known = histogramOfOwn(own);
  const histogram =
    known === null ? histogramOf(imageUrl(studyId)).then(renderedHistogram) : Promise.resolve(known);
  histogram.then(
    (of) => dispatch({ type: "presetSet", preset, windowLevel: presetWindow(preset, of), studyId }),
    // The layer itself says that the image could not be loaded.
    () => undefined,
  );
}
