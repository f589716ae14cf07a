import { type Dispatch, type RefObject, useImperativeHandle, useMemo } from "react";

import type { Box } from "../../api/schema";
import {
  fitView,
  focusView,
  panBy,
  type Point,
  rectOf,
  type Size,
  type View,
  zoomAt,
} from "../../domain/geometry";
import { shownRect, shownSize, type Turn } from "../../domain/turn";
import type { ViewerAction, ViewerState } from "../../state/viewer";

/** What can be asked of the view, whoever asks: mouse, keyboard, or a list beside the image. */
export interface ViewCommands {
  readonly zoom: (factor: number, anchor?: Point) => void;
  /** Screen pixels. */
  readonly pan: (dx: number, dy: number) => void;
  readonly fit: () => void;
  readonly actualSize: () => void;
  readonly focus: (box: Box) => void;
  /** Into the place that was tapped, or back to the whole image. */
  readonly toggleZoom: (anchor: Point) => void;
}

export const ZOOM_STEP = 1.25;
const DOUBLE_TAP_FACTOR = 2.5;

interface ViewInputs {
  readonly image: Size;
  readonly viewport: Size | null;
  readonly state: ViewerState;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly commands: RefObject<ViewCommands | null>;
}

/** The view to draw, null until the viewport is measured; puts the commands into `commands`. */
export function useViewCommands(inputs: ViewInputs): View | null {
  const { image, viewport, state, dispatch, commands } = inputs;
  const { width, height } = image;
  const { turn } = state;
  const isFitted = state.view === null;
  const built = useMemo(
    () => (viewport === null ? null : commandsOf({ width, height }, turn, viewport, isFitted, dispatch)),
    [width, height, turn, viewport, isFitted, dispatch],
  );
  useImperativeHandle<ViewCommands | null, ViewCommands | null>(commands, () => built, [built]);
  return viewport === null ? null : (state.view ?? fitView(shownSize(image, turn), viewport));
}

function commandsOf(
  stored: Size,
  turn: Turn,
  viewport: Size,
  isFitted: boolean,
  dispatch: Dispatch<ViewerAction>,
): ViewCommands {
  const image = shownSize(stored, turn);
  const middle = { x: viewport.width / 2, y: viewport.height / 2 };
  const move = (change: (view: View) => View): void =>
    dispatch({ type: "viewMoved", move: (view) => change(view ?? fitView(image, viewport)) });
  const zoom = (factor: number, anchor: Point = middle): void =>
    move((view) => zoomAt(view, factor, anchor, image, viewport));
  const fit = (): void => dispatch({ type: "fitted" });
  return {
    zoom,
    fit,
    pan: (dx, dy) => move((view) => panBy(view, dx, dy, image, viewport)),
    actualSize: () => move((view) => zoomAt(view, 1 / (view.scale * window.devicePixelRatio), middle, image, viewport)),
    focus: (box) => move(() => focusView(shownRect(rectOf(box), stored, turn), image, viewport)),
    toggleZoom: (anchor) => (isFitted ? zoom(DOUBLE_TAP_FACTOR, anchor) : fit()),
  };
}
