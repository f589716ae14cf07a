import { memo } from "react";

import type { Box } from "../../api/schema";
import { colourOf } from "../../domain/colours";
import { displayName, score } from "../../domain/format";
import { type Rect, rectOf, type Size, toScreen, type View, visibleRegion } from "../../domain/geometry";
import { LABEL_HEIGHT_PX, placeLabels } from "../../domain/labels";
import { labelWidth } from "./labelWidth";
import styles from "./viewer.module.css";

interface BoxOverlayProps {
  readonly boxes: readonly Box[];
  readonly isVisible: (box: Box) => boolean;
  readonly selected: number | null;
  readonly view: View;
  readonly viewport: Size;
}

interface ShownBox {
  readonly box: Box;
  readonly index: number;
  readonly rect: Rect;
  readonly text: string;
}

/**
 * The regions over the image, as SVG: sharp at any zoom.
 *
 * The viewBox is the visible part of the image, so a box is drawn with the very numbers of
 * the API. Hidden from screen readers, who find the same boxes as a list beside the image.
 */
export const BoxOverlay = memo(function BoxOverlay(props: BoxOverlayProps) {
  const { boxes, isVisible, selected, view, viewport } = props;
  const region = visibleRegion(view, viewport);
  const shown = boxes
    .map((box, index): ShownBox => ({ box, index, rect: rectOf(box), text: labelText(box) }))
    .filter(({ box }) => isVisible(box));
  const labels = placeLabels(
    shown.map(({ rect }) => toScreen(rect, view)),
    shown.map(({ text }) => labelWidth(text)),
    viewport,
  );
  // Small boxes on top, so that one inside another can be touched.
  const drawn = [...shown].sort((a, b) => area(b.rect) - area(a.rect));
  return (
    <svg
      className={styles.overlay}
      // The size that the view was made for: the frame itself may lie on fractions of a pixel.
      width={viewport.width}
      height={viewport.height}
      viewBox={`${region.x} ${region.y} ${region.width} ${region.height}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {drawn.map((entry) => (
        <BoxFrame key={entry.index} entry={entry} state={stateOf(entry.index, selected)} />
      ))}
      {shown.map((entry, position) => (
        <BoxLabel
          key={entry.index}
          entry={entry}
          place={labels[position]}
          view={view}
          state={stateOf(entry.index, selected)}
        />
      ))}
    </svg>
  );
});

type BoxState = "plain" | "selected" | "faded";

function stateOf(index: number, selected: number | null): BoxState {
  if (selected === null) {
    return "plain";
  }
  return selected === index ? "selected" : "faded";
}

function BoxFrame({ entry, state }: { readonly entry: ShownBox; readonly state: BoxState }) {
  const { box, index, rect } = entry;
  return (
    <g className={styles[state]} data-box={index}>
      {/* A dark line beneath the coloured one: it is seen on bright bone, too. */}
      <rect className={styles.halo} {...rect} />
      <rect
        className={styles.box}
        data-finding={box.finding}
        data-score={box.score}
        stroke={colourOf(box.finding)}
        {...rect}
      />
    </g>
  );
}

interface BoxLabelProps {
  readonly entry: ShownBox;
  readonly place: Rect | undefined;
  readonly view: View;
  readonly state: BoxState;
}

/** Placed in screen pixels, and scaled back: a label has the same size at every zoom. */
function BoxLabel({ entry, place, view, state }: BoxLabelProps) {
  if (place === undefined) {
    return null;
  }
  const x = (place.x - view.offsetX) / view.scale;
  const y = (place.y - view.offsetY) / view.scale;
  return (
    <g
      className={styles[state]}
      data-box={entry.index}
      transform={`translate(${x} ${y}) scale(${1 / view.scale})`}
    >
      <rect
        className={styles.labelBack}
        width={place.width}
        height={LABEL_HEIGHT_PX}
        rx={3}
        fill={colourOf(entry.box.finding)}
      />
      <text className={styles.labelText} x={6} y={14}>
        {entry.text}
      </text>
    </g>
  );
}

function labelText(box: Box): string {
  return `${displayName(box.finding)} ${score(box.score)}`;
}

function area({ width, height }: Rect): number {
  return width * height;
}
