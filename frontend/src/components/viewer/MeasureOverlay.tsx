import { type Dispatch, type KeyboardEvent, memo, type PointerEvent, useRef } from "react";

import type { PixelSpacing, Study } from "../../api/schema";
import { percent } from "../../domain/format";
import type { Line, Point, Rect, Size } from "../../domain/geometry";
import {
  angleBetween,
  heartPx,
  lengthText,
  lineText,
  RATIO_LINES,
  type RatioLines,
  ratioOf,
  spacingNote,
  thoraxPx,
  withRatioLine,
} from "../../domain/measuring";
import { fromShown, imagePoint, type Place, screenPoint } from "../../domain/turn";
import type { ViewerAction } from "../../state/viewer";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface MeasureOverlayProps {
  readonly study: Study;
  /** In pixels of the image, as in the viewer's state. */
  readonly ruler: Line | null;
  readonly angle: readonly Line[];
  readonly ratio: RatioLines | null;
  readonly spacing: PixelSpacing | null;
  readonly place: Place;
  readonly viewport: Size;
  readonly dispatch: Dispatch<ViewerAction>;
}

/** What was measured, drawn at one width at every zoom, and said in words. */
export const MeasureOverlay = memo(function MeasureOverlay(props: MeasureOverlayProps) {
  const { study, ruler, angle, ratio, spacing, place, viewport, dispatch } = props;
  const told = [
    ruler === null ? null : t("Distance {0}.", lineText(ruler, spacing)),
    angle.length < 2 ? null : t("Angle {0}.", angleText(angle)),
    ratio === null ? null : ratioText(ratio, spacing, study.image.view),
    ruler === null && ratio === null ? null : spacingNote(spacing),
  ].filter((part) => part !== null);
  return (
    <>
      <svg className={styles.overlay} width={viewport.width} height={viewport.height}>
        {ruler !== null && (
          <g data-ruler>
            <Measured line={ruler} place={place} text={lineText(ruler, spacing)} />
          </g>
        )}
        <g data-angle>
          {angle.map((line, index) => (
            <Measured
              key={index}
              line={line}
              place={place}
              text={index === 1 ? angleText(angle) : null}
            />
          ))}
        </g>
        {ratio !== null && <RatioOverlay {...{ ratio, study, place, dispatch }} />}
      </svg>
      <p className={styles.measured} role="status" data-measured>
        {told.join(" ")}
      </p>
    </>
  );
});

function angleText([a, b]: readonly Line[]): string {
  return a === undefined || b === undefined ? "" : `${angleBetween(a, b).toFixed(1)}°`;
}

function ratioText(ratio: RatioLines, spacing: PixelSpacing | null, of: string | null): string {
  const [heart, thorax] = [lengthText(heartPx(ratio), spacing), lengthText(thoraxPx(ratio), spacing)];
  const caution = of === "PA" ? "" : t(" The heart looks larger unless the image is a PA view in full breath.");
  return t("Cardiothoracic ratio {0}: heart {1}, thorax {2}.{3}", percent(ratioOf(ratio)), heart, thorax, caution);
}

function Measured({ line, place, text }: { readonly line: Line; readonly place: Place; readonly text: string | null }) {
  const from = screenPoint(line.from, place);
  const to = screenPoint(line.to, place);
  const ends = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
  return (
    <>
      <line className={styles.rulerHalo} {...ends} />
      <line className={styles.ruler} {...ends} />
      {text !== null && (
        <text className={styles.rulerText} x={to.x + 8} y={to.y - 8}>
          {text}
        </text>
      )}
    </>
  );
}

const NAMES: Record<keyof RatioLines, string> = {
  thoraxRight: t("Right inner border of the thorax"),
  heartRight: t("Right border of the heart"),
  heartLeft: t("Left border of the heart"),
  thoraxLeft: t("Left inner border of the thorax"),
};
const STEP_PX = 2;
/** As wide as WCAG asks of what is touched. */
const GRIP_PX = 24;

interface RatioOverlayProps {
  readonly ratio: RatioLines;
  readonly study: Study;
  readonly place: Place;
  readonly dispatch: Dispatch<ViewerAction>;
}

/** Four lines, upright in an upright image, that are dragged, or moved by the arrow keys. */
function RatioOverlay({ ratio, study, place, dispatch }: RatioOverlayProps) {
  const { width, height } = study.image;
  const put = (name: keyof RatioLines, x: number): void =>
    dispatch({ type: "ratioSet", ratio: withRatioLine(ratio, name, x, width) });
  return (
    <g data-ratio>
      {RATIO_LINES.map((name) => (
        <RatioLine
          key={name}
          name={name}
          at={ratio[name]}
          place={place}
          onMove={(x) => put(name, x)}
        />
      ))}
      <RatioWidth from={ratio.heartRight} to={ratio.heartLeft} y={height * 0.62} place={place} />
      <RatioWidth from={ratio.thoraxRight} to={ratio.thoraxLeft} y={height * 0.8} place={place} />
    </g>
  );
}

interface RatioLineProps {
  readonly name: keyof RatioLines;
  /** In pixels of the image. */
  readonly at: number;
  readonly place: Place;
  readonly onMove: (x: number) => void;
}

/** As they are seen; y runs down. */
const ARROWS: Record<string, Point> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};

function RatioLine({ name, at, place, onMove }: RatioLineProps) {
  const isHeld = useRef(false);
  const { image, turn } = place;
  const { width, height } = image;
  const top = screenPoint({ x: at, y: height * 0.1 }, place);
  const bottom = screenPoint({ x: at, y: height * 0.95 }, place);
  const ends = { x1: top.x, y1: top.y, x2: bottom.x, y2: bottom.y };
  const drag = (event: PointerEvent<SVGGElement>): void => {
    const frame = event.currentTarget.ownerSVGElement?.getBoundingClientRect();
    const seen = { x: event.clientX - (frame?.left ?? 0), y: event.clientY - (frame?.top ?? 0) };
    onMove(imagePoint(seen, place).x);
  };
  const key = (event: KeyboardEvent): void => {
    const arrow = ARROWS[event.key];
    if (arrow === undefined) {
      return;
    }
    // Which way that is in the image; none where it runs along the line.
    const by = fromShown(arrow, image, turn).x - fromShown({ x: 0, y: 0 }, image, turn).x;
    if (by !== 0) {
      event.preventDefault();
      event.stopPropagation();
      onMove(at + by * STEP_PX);
    }
  };
  return (
    <g
      className={styles.ratioLine}
      role="slider"
      tabIndex={0}
      aria-label={NAMES[name]}
      aria-valuenow={Math.round(at)}
      aria-valuemin={0}
      aria-valuemax={width}
      aria-valuetext={t("{0} px", Math.round(at))}
      data-line={name}
      data-dragged
      onKeyDown={key}
      onPointerDown={(event) => {
        isHeld.current = true;
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={(event) => {
        if (isHeld.current) {
          drag(event);
        }
      }}
      onPointerUp={() => {
        isHeld.current = false;
      }}
    >
      {/* Wide enough for a finger. */}
      <rect className={styles.ratioGrip} {...gripOf(top, bottom)} />
      <line className={styles.rulerHalo} {...ends} />
      <line className={styles.ruler} {...ends} />
    </g>
  );
}

/** Around a line that runs down or across. */
function gripOf(from: Point, to: Point): Rect {
  const [width, height] = [Math.abs(to.x - from.x), Math.abs(to.y - from.y)];
  const isUpright = height > width;
  return {
    x: Math.min(from.x, to.x) - (isUpright ? GRIP_PX / 2 : 0),
    y: Math.min(from.y, to.y) - (isUpright ? 0 : GRIP_PX / 2),
    width: isUpright ? GRIP_PX : width,
    height: isUpright ? height : GRIP_PX,
  };
}

function RatioWidth({ from, to, y, place }: { readonly from: number; readonly to: number; readonly y: number; readonly place: Place }) {
  const a = screenPoint({ x: from, y }, place);
  const b = screenPoint({ x: to, y }, place);
  return <line className={styles.ratioWidth} x1={a.x} y1={a.y} x2={b.x} y2={b.y} />;
}
