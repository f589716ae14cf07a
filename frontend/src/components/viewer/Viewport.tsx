import { type Dispatch, type KeyboardEvent, type RefObject, useEffect, useEffectEvent } from "react";

import type { Study } from "../../api/schema";
import { heatmapUrl, imageUrl } from "../../api/urls";
import type { Line, Size } from "../../domain/geometry";
import { imagePoint, type Place } from "../../domain/turn";
import { displayName } from "../../domain/format";
import { cornersBetween } from "../../domain/review";
import type { OwnGreys } from "../../state/useGreys";
import type { OpenReview } from "../../state/useReview";
import { mapTitle, type Trust } from "../../domain/trust";
import { useMedia } from "../../state/useMedia";
import type { Shown, ViewerAction, ViewerState } from "../../state/viewer";
import { BoxOverlay } from "./BoxOverlay";
import { Corners } from "./Corners";
import { describeImage } from "./describeImage";
import { listenToGestures } from "./gestures";
import { GreyLayer } from "./GreyLayer";
import { Layer } from "./Layer";
import { Magnifier } from "./Magnifier";
import { MeasureOverlay } from "./MeasureOverlay";
import { ReviewOverlay } from "./ReviewOverlay";
import { Sides } from "./Sides";
import type { ViewCommands } from "./viewCommands";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface ViewportProps {
  readonly frame: RefObject<HTMLDivElement | null>;
  readonly study: Study;
  readonly trust: Trust;
  readonly review: OpenReview;
  readonly own: OwnGreys;
  readonly state: ViewerState;
  readonly shown: Shown;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly place: Place | null;
  readonly viewport: Size | null;
  readonly commands: RefObject<ViewCommands | null>;
  /** Of the greys; undefined for those as stored. */
  readonly filter: string | undefined;
}

const PAN_STEP_PX = 60;
/** Narrower, the labels of all boxes would hide the image. */
const NARROW = "(max-width: 1099px)";

/** The dark field in which the image lies. */
export function Viewport(props: ViewportProps) {
  const { frame, study, trust, review, own, state, shown, dispatch, place, viewport, commands, filter } = props;
  useGestures(props);
  const isNarrow = useMedia(NARROW);
  return (
    <div
      ref={frame}
      id="image"
      className={styles.viewport}
      data-tool={state.tool}
      tabIndex={0}
      role="application"
      aria-label={describeImage(study)}
      aria-roledescription={t("image viewer")}
      onKeyDown={(event) => panByArrow(event, commands.current)}
    >
      {place !== null && viewport !== null && (
        <>
          <Layer
            key={study.id}
            src={imageUrl(study.id)}
            name="radiograph"
            place={place}
            filter={filter}
          />
          <GreyLayer
            key={`${study.id} greys`}
            own={own}
            windowLevel={state.windowLevel}
            inverted={state.inverted}
            place={place}
            shown={filter !== undefined}
            whole={state.magnified}
          />
          {shown.heatmapShown && shown.heatmap !== null && (
            <>
              <Layer
                key={`${study.id} ${shown.heatmap}`}
                src={heatmapUrl(study.id, shown.heatmap)}
                name="heat map"
                place={place}
                opacity={state.heatmapOpacity}
              />
              <p className={styles.mapNote}>
                {mapTitle(trust)}: {displayName(shown.heatmap).toLowerCase()}
                <span className={styles.legend}>
                  {t("little")}{" "}<span className={styles.ramp} style={{ opacity: state.heatmapOpacity }} />{" "}{t("much")}
                </span>
              </p>
            </>
          )}
          <BoxOverlay
            boxes={study.boxes}
            boxesShown={state.boxesShown}
            hidden={state.hidden}
            leastScore={state.leastScore}
            selected={shown.selectedBox}
            marks={review.marks}
            place={place}
            viewport={viewport}
            isNarrow={isNarrow}
          />
          {state.boxesShown && (
            <ReviewOverlay marks={review.marks} drawn={state.drawn} place={place} viewport={viewport} />
          )}
          <MeasureOverlay
            {...{ study, place, viewport, dispatch }}
            {...{ ruler: state.ruler, angle: state.angle, ratio: state.ratio }}
            spacing={own.greys?.spacing ?? null}
          />
          {state.cornersShown && <Corners study={study} />}
          <Sides turn={state.turn} isKnown={own.greys?.sided === true} />
          {state.magnified && (
            <Magnifier
              {...{ frame, place }}
              windowLevel={state.windowLevel}
              inverted={state.inverted}
            />
          )}
        </>
      )}
    </div>
  );
}

function useGestures({ frame, study, state, place, dispatch, commands }: ViewportProps): void {
  const toolNow = useEffectEvent(() => state.tool);
  const measure = useEffectEvent((line: Line) => {
    if (place === null) {
      return;
    }
    const [from, to] = [imagePoint(line.from, place), imagePoint(line.to, place)];
    if (state.tool === "draw") {
      dispatch({ type: "drawn", corners: cornersBetween(from, to, study.image) });
    } else {
      dispatch({ type: "measured", line: { from, to } });
    }
  });
  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return undefined;
    }
    return listenToGestures(element, () => toolNow(), {
      onPan: (dx, dy) => commands.current?.pan(dx, dy),
      onZoom: (factor, anchor) => commands.current?.zoom(factor, anchor),
      onWindow: (dxPx, dyPx) => dispatch({ type: "windowDragged", dxPx, dyPx }),
      onMeasure: (line) => measure(line),
      onTap: (target) => dispatch({ type: "boxSelected", index: boxIndexOf(target) }),
      onDoubleTap: (anchor) => commands.current?.toggleZoom(anchor),
    });
  }, [frame, dispatch, commands]);
}

function boxIndexOf(target: Element): number | null {
  const index = target.closest("[data-box]")?.getAttribute("data-box") ?? null;
  return index === null ? null : Number(index);
}

function panByArrow(event: KeyboardEvent, commands: ViewCommands | null): void {
  const steps: Record<string, readonly [number, number]> = {
    ArrowLeft: [PAN_STEP_PX, 0],
    ArrowRight: [-PAN_STEP_PX, 0],
    ArrowUp: [0, PAN_STEP_PX],
    ArrowDown: [0, -PAN_STEP_PX],
  };
  const step = steps[event.key];
  if (step !== undefined) {
    event.preventDefault();
    commands?.pan(step[0], step[1]);
  }
}
