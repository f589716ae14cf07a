/**
 * Where an image pixel lies on the screen. All coordinates run right and down.
 *
 * A view maps image pixels to viewport pixels: `screen = image * scale + offset`.
 */

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** From the place of a press to that of its release. */
export interface Line {
  readonly from: Point;
  readonly to: Point;
}

export interface Rect extends Point, Size {}

export interface View {
  readonly scale: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

/** Corners as the API gives them, in pixels of the uploaded image. */
export interface Corners {
  readonly x_min: number;
  readonly y_min: number;
  readonly x_max: number;
  readonly y_max: number;
}

/** Screen pixels between a fitted image and the edge of the viewport. */
export const FIT_MARGIN_PX = 16;
/** Screen pixels of the image that stay in sight however far it is pushed. */
export const KEPT_IN_SIGHT_PX = 48;
/** At most this many screen pixels for one image pixel. */
const MAX_SCALE = 16;

/** The view that shows the whole image, centred. */
export function fitView(image: Size, viewport: Size, margin = FIT_MARGIN_PX): View {
  const room = {
    width: Math.max(1, viewport.width - 2 * margin),
    height: Math.max(1, viewport.height - 2 * margin),
  };
  const scale = Math.min(room.width / image.width, room.height / image.height);
  return centred(image, viewport, scale);
}

/** The view of one rectangle of the image, with some of its surroundings. */
export function focusView(target: Rect, image: Size, viewport: Size): View {
  const surroundings = 2.2;
  const wanted = Math.min(
    viewport.width / (target.width * surroundings),
    viewport.height / (target.height * surroundings),
  );
  const scale = clampScale(wanted, image, viewport);
  return keepInSight(
    {
      scale,
      offsetX: viewport.width / 2 - (target.x + target.width / 2) * scale,
      offsetY: viewport.height / 2 - (target.y + target.height / 2) * scale,
    },
    image,
    viewport,
  );
}

/** Zooms by `factor` so that what lies under `anchor` (viewport pixels) stays there. */
export function zoomAt(
  view: View,
  factor: number,
  anchor: Point,
  image: Size,
  viewport: Size,
): View {
  const scale = clampScale(view.scale * factor, image, viewport);
  const ratio = scale / view.scale;
  return keepInSight(
    {
      scale,
      offsetX: anchor.x - (anchor.x - view.offsetX) * ratio,
      offsetY: anchor.y - (anchor.y - view.offsetY) * ratio,
    },
    image,
    viewport,
  );
}

/** Moves the image by screen pixels. */
export function panBy(view: View, dx: number, dy: number, image: Size, viewport: Size): View {
  return keepInSight(
    { ...view, offsetX: view.offsetX + dx, offsetY: view.offsetY + dy },
    image,
    viewport,
  );
}

/** The part of the image plane that the viewport shows, in image pixels: an SVG viewBox. */
export function visibleRegion(view: View, viewport: Size): Rect {
  return {
    x: -view.offsetX / view.scale,
    y: -view.offsetY / view.scale,
    width: viewport.width / view.scale,
    height: viewport.height / view.scale,
  };
}

/** A rectangle of the image, in viewport pixels. */
export function toScreen(rect: Rect, view: View): Rect {
  return {
    x: rect.x * view.scale + view.offsetX,
    y: rect.y * view.scale + view.offsetY,
    width: rect.width * view.scale,
    height: rect.height * view.scale,
  };
}

export function toScreenPoint(point: Point, view: View): Point {
  return { x: point.x * view.scale + view.offsetX, y: point.y * view.scale + view.offsetY };
}

export function distance({ from, to }: Line): number {
  return Math.hypot(to.x - from.x, to.y - from.y);
}

/** A point of the viewport, in image pixels. */
export function toImage(point: Point, view: View): Point {
  return {
    x: (point.x - view.offsetX) / view.scale,
    y: (point.y - view.offsetY) / view.scale,
  };
}

export function rectOf(box: Corners): Rect {
  return { x: box.x_min, y: box.y_min, width: box.x_max - box.x_min, height: box.y_max - box.y_min };
}

function centred(image: Size, viewport: Size, scale: number): View {
  return {
    scale,
    offsetX: (viewport.width - image.width * scale) / 2,
    offsetY: (viewport.height - image.height * scale) / 2,
  };
}

function clampScale(scale: number, image: Size, viewport: Size): number {
  const fitted = fitView(image, viewport).scale;
  return clamp(scale, fitted / 2, Math.max(MAX_SCALE, fitted * 4));
}

function keepInSight(view: View, image: Size, viewport: Size): View {
  const width = image.width * view.scale;
  const height = image.height * view.scale;
  const keptX = Math.min(KEPT_IN_SIGHT_PX, width, viewport.width);
  const keptY = Math.min(KEPT_IN_SIGHT_PX, height, viewport.height);
  return {
    scale: view.scale,
    offsetX: clamp(view.offsetX, keptX - width, viewport.width - keptX),
    offsetY: clamp(view.offsetY, keptY - height, viewport.height - keptY),
  };
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
