/** Mouse, pen, fingers and wheel, turned into what they mean for an image. */

import type { Line, Point } from "../../domain/geometry";
import type { DragTool } from "../../state/viewer";

export interface GestureHandlers {
  /** Screen pixels since the last call. */
  readonly onPan: (dx: number, dy: number) => void;
  readonly onWindow: (dx: number, dy: number) => void;
  readonly onZoom: (factor: number, anchor: Point) => void;
  /** In pixels of the viewport, while the pointer is drawn. */
  readonly onMeasure: (line: Line) => void;
  /** A press and release in one place. */
  readonly onTap: (target: Element) => void;
  readonly onDoubleTap: (anchor: Point) => void;
}

/** A hand is never quite still: below this a press is a tap, in screen pixels. */
const TAP_SLACK_PX = 5;
const RIGHT_BUTTON = 2;
const LINE_PX = 16;

interface Press {
  readonly pointers: Map<number, Point>;
  /** Where the element lies; asked once, for each question has the page laid out anew. */
  readonly frame: DOMRect;
  readonly target: Element;
  readonly from: Point;
  readonly tool: DragTool;
  travelled: number;
}

/** Listens on `element` until the returned function is called. */
export function listenToGestures(
  element: HTMLElement,
  toolNow: () => DragTool,
  handlers: GestureHandlers,
): () => void {
  const controller = new AbortController();
  const { signal } = controller;
  listenToPointers(element, toolNow, handlers, signal);
  const wheel = (event: WheelEvent): void => {
    event.preventDefault();
    handlers.onZoom(wheelFactor(event), pointOf(event, element.getBoundingClientRect()));
  };
  element.addEventListener("wheel", wheel, { signal, passive: false });
  element.addEventListener("dblclick", (event) => handlers.onDoubleTap(pointOf(event, element.getBoundingClientRect())), {
    signal,
  });
  element.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
  return () => controller.abort();
}

function listenToPointers(
  element: HTMLElement,
  toolNow: () => DragTool,
  handlers: GestureHandlers,
  signal: AbortSignal,
): void {
  let press: Press | null = null;
  const down = (event: PointerEvent): void => {
    // What lies over the image and is dragged itself.
    if (event.target instanceof Element && event.target.closest("[data-dragged]") !== null) {
      return;
    }
    const frame = press?.frame ?? element.getBoundingClientRect();
    press ??= {
      pointers: new Map(),
      frame,
      target: event.target instanceof Element ? event.target : element,
      from: pointOf(event, frame),
      tool: event.button === RIGHT_BUTTON ? "window" : toolNow(),
      travelled: 0,
    };
    press.pointers.set(event.pointerId, pointOf(event, frame));
    element.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent): void => {
    if (press?.pointers.has(event.pointerId)) {
      movePointer(press, event.pointerId, pointOf(event, press.frame), handlers);
    }
  };
  const up = (event: PointerEvent): void => {
    const ended = press;
    if (!ended?.pointers.delete(event.pointerId) || ended.pointers.size > 0) {
      return;
    }
    press = null;
    const tapped = event.type === "pointerup" && ended.travelled < TAP_SLACK_PX;
    if (tapped && event.button !== RIGHT_BUTTON) {
      handlers.onTap(ended.target);
    }
  };
  element.addEventListener("pointerdown", down, { signal });
  element.addEventListener("pointermove", move, { signal });
  element.addEventListener("pointerup", up, { signal });
  element.addEventListener("pointercancel", up, { signal });
}

/** In pixels of the viewport. */
function pointOf(event: MouseEvent, frame: DOMRect): Point {
  return { x: event.clientX - frame.left, y: event.clientY - frame.top };
}

function movePointer(press: Press, id: number, to: Point, handlers: GestureHandlers): void {
  const from = press.pointers.get(id) ?? to;
  const other = [...press.pointers.entries()].find(([otherId]) => otherId !== id)?.[1];
  press.pointers.set(id, to);
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  press.travelled += Math.hypot(dx, dy);
  if (other !== undefined) {
    // Two fingers: each moves the middle by half, and the distance between them zooms.
    handlers.onPan(dx / 2, dy / 2);
    handlers.onZoom(pinchFactor(other, from, to), middle(other, to));
  } else if (press.tool === "window") {
    handlers.onWindow(dx, dy);
  } else if (press.tool === "ruler" || press.tool === "angle" || press.tool === "draw") {
    handlers.onMeasure({ from: press.from, to });
  } else {
    handlers.onPan(dx, dy);
  }
}

export function pinchFactor(fixed: Point, from: Point, to: Point): number {
  const before = Math.hypot(from.x - fixed.x, from.y - fixed.y);
  const after = Math.hypot(to.x - fixed.x, to.y - fixed.y);
  return before > 0 && after > 0 ? after / before : 1;
}

/** A notch of a wheel is some 100 px; a pinch on a touch pad comes as a wheel with Ctrl. */
export function wheelFactor(event: {
  readonly deltaY: number;
  readonly deltaMode: number;
  readonly ctrlKey: boolean;
}): number {
  const px = event.deltaMode === 1 ? event.deltaY * LINE_PX : event.deltaY;
  const limited = Math.min(Math.max(px, -240), 240);
  return Math.exp(-limited * (event.ctrlKey ? 0.01 : 0.0018));
}

function middle(a: Point, b: Point): Point {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}
