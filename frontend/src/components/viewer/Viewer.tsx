import { type Dispatch, type RefObject, useRef } from "react";

import type { Study } from "../../api/schema";
import type { ViewerAction, ViewerState } from "../../state/viewer";
import { GreyControls } from "./GreyControls";
import { HeatmapControls } from "./HeatmapControls";
import { Toolbar } from "./Toolbar";
import { useElementSize } from "./useElementSize";
import { Viewport } from "./Viewport";
import { useViewCommands, type ViewCommands } from "./viewCommands";
import styles from "./viewer.module.css";

interface ViewerProps {
  readonly study: Study;
  readonly state: ViewerState;
  readonly dispatch: Dispatch<ViewerAction>;
  /** Filled with what the keyboard and the lists beside the image can ask of it. */
  readonly commands: RefObject<ViewCommands | null>;
}

/** The image with everything drawn over it, and the tools around it. */
export function Viewer({ study, state, dispatch, commands }: ViewerProps) {
  const frame = useRef<HTMLDivElement>(null);
  const viewport = useElementSize(frame);
  const view = useViewCommands({ image: study.image, viewport, state, dispatch, commands });
  return (
    <section className={styles.viewer} aria-label="Radiograph">
      <Toolbar study={study} state={state} dispatch={dispatch} scale={view?.scale ?? null} commands={commands} />
      <Viewport
        frame={frame}
        study={study}
        state={state}
        dispatch={dispatch}
        view={view}
        viewport={viewport}
        commands={commands}
      />
      <div className={styles.controls}>
        <GreyControls state={state} dispatch={dispatch} />
        <HeatmapControls heatmaps={study.heatmaps} state={state} dispatch={dispatch} />
      </div>
    </section>
  );
}
