import { type Dispatch, type KeyboardEvent, type RefObject, useEffect, useEffectEvent, useId } from "react";

import type { Box, Study } from "../../api/schema";
import { heatmapUrl, imageUrl } from "../../api/urls";
import type { Size, View } from "../../domain/geometry";
import { isFullWindow } from "../../domain/windowLevel";
import { isBoxVisible, type ViewerAction, type ViewerState } from "../../state/viewer";
import { BoxOverlay } from "./BoxOverlay";
import { describeImage } from "./describeImage";
import { listenToGestures } from "./gestures";
import { GreyFilter } from "./GreyFilter";
import { Layer } from "./Layer";
import type { ViewCommands } from "./viewCommands";
import styles from "./viewer.module.css";

interface ViewportProps {
  readonly frame: RefObject<HTMLDivElement | null>;
  readonly study: Study;
  readonly state: ViewerState;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly view: View | null;
  readonly viewport: Size | null;
  readonly commands: RefObject<ViewCommands | null>;
}

const PAN_STEP_PX = 60;

/** The dark field in which the image lies. */
export function Viewport(props: ViewportProps) {
  const { frame, study, state, view, viewport, commands } = props;
  const filterId = useId();
  const keepsGreys = isFullWindow(state.windowLevel) && !state.inverted;
  useGestures(props);
  return (
    <div
      ref={frame}
      className={styles.viewport}
      data-tool={state.tool}
      tabIndex={0}
      role="application"
      aria-label={describeImage(study)}
      aria-roledescription="image viewer"
      onKeyDown={(event) => panByArrow(event, commands.current)}
    >
      <GreyFilter id={filterId} windowLevel={state.windowLevel} inverted={state.inverted} />
      {view !== null && viewport !== null && (
        <>
          <Layer
            key={study.id}
            src={imageUrl(study.id)}
            name="radiograph"
            image={study.image}
            view={view}
            filter={keepsGreys ? undefined : `url(#${CSS.escape(filterId)})`}
          />
          {state.heatmap !== null && (
            <Layer
              key={state.heatmap}
              src={heatmapUrl(study.id, state.heatmap)}
              name="heat map"
              image={study.image}
              view={view}
              opacity={state.heatmapOpacity}
            />
          )}
          <BoxOverlay
            boxes={study.boxes}
            isVisible={(box: Box) => isBoxVisible(state, box.finding)}
            selected={state.selectedBox}
            view={view}
            viewport={viewport}
          />
        </>
      )}
    </div>
  );
}

function useGestures({ frame, state, dispatch, commands }: ViewportProps): void {
  const dragSetsWindow = useEffectEvent(() => state.tool === "window");
  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return undefined;
    }
    return listenToGestures(element, () => dragSetsWindow(), {
      onPan: (dx, dy) => commands.current?.pan(dx, dy),
      onZoom: (factor, anchor) => commands.current?.zoom(factor, anchor),
      onWindow: (dxPx, dyPx) => dispatch({ type: "windowDragged", dxPx, dyPx }),
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
