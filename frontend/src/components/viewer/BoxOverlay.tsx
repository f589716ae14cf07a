import { memo } from "react";

import type { Box, Region, Verdict } from "../../api/schema";
import { colourOf } from "../../domain/colours";
import { displayName, percent } from "../../domain/format";
import { type Line, type Rect, rectOf, type Size, toScreen, type View, visibleRegion } from "../../domain/geometry";
import { type Place, shownRect, shownSize } from "../../domain/turn";
import { boxTarget, type Mark, ownVerdict } from "../../domain/review";
import { inSight, LABEL_HEIGHT_PX, leaderOf, placeLabels } from "../../domain/labels";
import { speakersOf } from "../../domain/mergedBoxes";
import { isBoxVisible } from "../../state/viewer";
import { labelWidth } from "./labelWidth";
import styles from "./viewer.module.css";

interface BoxOverlayProps {
  readonly boxes: readonly Box[];
  /** Which of them are wanted, as in the viewer's state. */
  readonly boxesShown: boolean;
  readonly hidden: ReadonlySet<Region>;
  readonly leastScore: number;
  readonly selected: number | null;
  readonly marks: readonly Mark[];
  readonly place: Place;
  readonly viewport: Size;
  /** Where there is little room, only the selected box has a label. */
  readonly isNarrow: boolean;
}

interface ShownBox {
  readonly box: Box;
  readonly index: number;
  /** In the shown plane. */
  readonly rect: Rect;
  readonly text: string;
  /** Whether another box speaks for it. */
  readonly isMerged: boolean;
}

/**
 * The regions over the image, as SVG: sharp at any zoom.
 *
 * The viewBox is the visible part of the shown plane, so a box of an upright image is drawn with the
 * very numbers of the API. Hidden from screen readers, who find the same boxes as a list beside the image.
 */
export const BoxOverlay = memo(function BoxOverlay(props: BoxOverlayProps) {
  const { boxes, selected, marks, place, viewport, isNarrow } = props;
  const { image, turn, view } = place;
  const region = visibleRegion(view, viewport);
  const shown = shownBoxes(boxes.map((box, index) => ({ box, index })).filter(({ box }) => isBoxVisible(props, box)), place);
  const labelled = shown.filter(({ index, isMerged }) => index === selected || (!isNarrow && !isMerged));
  const rects = labelled.map(({ rect }) => toScreen(rect, view));
  const field = inSight(toScreen({ x: 0, y: 0, ...shownSize(image, turn) }, view), viewport);
  const labels = placeLabels(rects, labelled.map(({ text }) => labelWidth(text)), field);
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
        <BoxFrame
          key={entry.index}
          entry={entry}
          state={stateOf(entry.index, selected)}
          verdict={ownVerdict(marks, boxTarget(entry.index, entry.box))}
        />
      ))}
      {labelled.map((entry, position) => (
        <BoxLabel
          key={entry.index}
          entry={entry}
          place={labels[position]}
          rect={rects[position]}
          view={view}
          state={stateOf(entry.index, selected)}
          verdict={ownVerdict(marks, boxTarget(entry.index, entry.box))}
        />
      ))}
    </svg>
  );
});

/** With the words of each, and those of the boxes that it speaks for. */
function shownBoxes(
  visible: readonly { readonly box: Box; readonly index: number }[],
  { image, turn }: Place,
): ShownBox[] {
  const speakers = speakersOf(visible.map(({ box }) => box));
  return visible.map(({ box, index }, at) => {
    const spokenFor = visible.filter((_, other) => other !== at && speakers[other] === at);
    return {
      box,
      index,
      rect: shownRect(rectOf(box), image, turn),
      text: [box, ...spokenFor.map((other) => other.box)].map(labelText).join(" or "),
      isMerged: speakers[at] !== at,
    };
  });
}

type BoxState = "plain" | "selected" | "faded";

function stateOf(index: number, selected: number | null): BoxState {
  if (selected === null) {
    return "plain";
  }
  return selected === index ? "selected" : "faded";
}

interface BoxFrameProps {
  readonly entry: ShownBox;
  readonly state: BoxState;
  /** The reader's own. */
  readonly verdict: Verdict | null;
}

function BoxFrame({ entry, state, verdict }: BoxFrameProps) {
  const { box, index, rect, isMerged } = entry;
  return (
    <g
      className={styles[state]}
      data-box={index}
      data-merged={isMerged || undefined}
      data-verdict={verdict ?? undefined}
    >
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
  /** Of the label and of the box, in viewport pixels. */
  readonly place: Rect | undefined;
  readonly rect: Rect | undefined;
  readonly view: View;
  readonly state: BoxState;
  readonly verdict: Verdict | null;
}

/** Placed in screen pixels, and scaled back: a label has the same size at every zoom. */
function BoxLabel({ entry, place, rect, view, state, verdict }: BoxLabelProps) {
  if (place === undefined || rect === undefined) {
    return null;
  }
  const x = (place.x - view.offsetX) / view.scale;
  const y = (place.y - view.offsetY) / view.scale;
  const leader = leaderOf(place, rect);
  return (
    <g
      className={styles[state]}
      data-box={entry.index}
      data-label
      data-verdict={verdict ?? undefined}
      transform={`translate(${x} ${y}) scale(${1 / view.scale})`}
    >
      {leader !== null && <Leader line={leader} origin={place} colour={colourOf(entry.box.finding)} />}
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

function Leader({ line: { from, to }, origin, colour }: { readonly line: Line; readonly origin: Rect; readonly colour: string }) {
  const ends = { x1: from.x - origin.x, y1: from.y - origin.y, x2: to.x - origin.x, y2: to.y - origin.y };
  return (
    <g data-leader>
      <line className={styles.leaderHalo} {...ends} />
      <line className={styles.leader} stroke={colour} {...ends} />
    </g>
  );
}

function labelText(box: Box): string {
  return `${displayName(box.finding)} ${percent(box.score)}`;
}

function area({ width, height }: Rect): number {
  return width * height;
}
