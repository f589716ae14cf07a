import { type RefObject, useEffect, useEffectEvent, useRef } from "react";

import { type Point, toImage } from "../../domain/geometry";
import { matrixOf, type Place } from "../../domain/turn";
import { transferOf, type WindowLevel } from "../../domain/windowLevel";
import styles from "./viewer.module.css";

interface MagnifierProps {
  readonly frame: RefObject<HTMLDivElement | null>;
  readonly place: Place;
  readonly windowLevel: WindowLevel;
  readonly inverted: boolean;
}

/** Of the lens, in pixels of the page. */
const SIZE_PX = 220;
const FACTOR = 2.5;

/** A lens under the pointer. Decorative: whoever has no pointer zooms. */
export function Magnifier(props: MagnifierProps) {
  const { frame } = props;
  const lens = useRef<HTMLCanvasElement>(null);
  const show = useEffectEvent((at: Point | null) => draw(lens.current, props, at));
  const last = useRef<Point | null>(null);
  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return undefined;
    }
    const controller = new AbortController();
    const { signal } = controller;
    const move = (event: PointerEvent): void => {
      const { left, top } = element.getBoundingClientRect();
      last.current = { x: event.clientX - left, y: event.clientY - top };
      show(last.current);
    };
    const leave = (): void => {
      last.current = null;
      show(null);
    };
    element.addEventListener("pointermove", move, { signal });
    element.addEventListener("pointerleave", leave, { signal });
    return () => controller.abort();
  }, [frame]);
  useEffect(() => show(last.current));
  return <canvas ref={lens} className={styles.lens} data-lens aria-hidden="true" hidden />;
}

function draw(lens: HTMLCanvasElement | null, props: MagnifierProps, at: Point | null): void {
  const { frame, windowLevel, inverted } = props;
  const { image, turn, view } = props.place;
  const own = frame.current?.querySelector<HTMLCanvasElement>('canvas[data-layer="greys"][data-shown="true"]');
  const source = own ?? frame.current?.querySelector<HTMLImageElement>('img[data-layer="radiograph"]');
  const context = lens?.getContext("2d", { willReadFrequently: true });
  if (!lens || !context || !source || at === null) {
    lens?.setAttribute("hidden", "");
    return;
  }
  const dots = Math.round(SIZE_PX * window.devicePixelRatio);
  lens.width = dots;
  lens.height = dots;
  const middle = toImage(at, view);
  const side = SIZE_PX / (view.scale * FACTOR);
  context.imageSmoothingEnabled = view.scale * FACTOR < 4;
  context.fillRect(0, 0, dots, dots);
  // The shown plane onto the lens, and the image onto the shown plane.
  const grown = dots / side;
  context.setTransform(grown, 0, 0, grown, (side / 2 - middle.x) * grown, (side / 2 - middle.y) * grown);
  context.transform(...matrixOf(image, turn));
  context.drawImage(source, 0, 0, image.width, image.height);
  if (!own) {
    transfer(context, dots, windowLevel, inverted);
  }
  lens.style.transform = `translate(${at.x - SIZE_PX / 2}px, ${at.y - SIZE_PX / 2}px)`;
  lens.removeAttribute("hidden");
}

/** The window on what was drawn: canvas filters do not work in every browser. */
function transfer(context: CanvasRenderingContext2D, dots: number, windowLevel: WindowLevel, inverted: boolean): void {
  const { slope, intercept } = transferOf(windowLevel, inverted);
  const image = context.getImageData(0, 0, dots, dots);
  const { data } = image;
  for (let i = 0; i < data.length; i += 4) {
    const grey = slope * (data[i] ?? 0) + intercept * 255;
    data[i] = grey;
    data[i + 1] = grey;
    data[i + 2] = grey;
  }
  context.putImageData(image, 0, 0);
}
