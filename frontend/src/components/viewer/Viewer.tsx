import { type Dispatch, type RefObject, useEffect, useId, useMemo, useRef } from "react";

import type { Study } from "../../api/schema";
import type { Trust } from "../../domain/trust";
import { isKeptBack } from "../../domain/studies";
import { isFullWindow, rangeOf } from "../../domain/windowLevel";
import type { OwnGreys } from "../../state/useGreys";
import type { OpenReview } from "../../state/useReview";
import type { Shown, ViewerAction, ViewerState } from "../../state/viewer";
import { GreyControls } from "./GreyControls";
import { GreyFilter } from "./GreyFilter";
import { HeatmapControls } from "./HeatmapControls";
import { PriorPane } from "./PriorPane";
import { Toolbar } from "./Toolbar";
import { useElementSize } from "./useElementSize";
import { Viewport } from "./Viewport";
import { useViewCommands, type ViewCommands } from "./viewCommands";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface ViewerProps {
  readonly study: Study;
  readonly trust: Trust;
  readonly review: OpenReview;
  readonly own: OwnGreys;
  /** While the answers are hidden. */
  readonly isBlind: boolean;
  /** Whether those of other studies are hidden until somebody has read them. */
  readonly readsFirst: boolean;
  readonly state: ViewerState;
  readonly shown: Shown;
  readonly dispatch: Dispatch<ViewerAction>;
  /** Filled with what the keyboard and the lists beside the image can ask of it. */
  readonly commands: RefObject<ViewCommands | null>;
}

/** The image with everything drawn over it, and the tools around it. */
export function Viewer({ study, trust, review, own, isBlind, readsFirst, state, shown, dispatch, commands }: ViewerProps) {
  const filterId = useId();
  const keepsGreys = isFullWindow(state.windowLevel) && !state.inverted;
  const filter = keepsGreys ? undefined : `url(#${CSS.escape(filterId)})`;
  const frame = useRef<HTMLDivElement>(null);
  const viewport = useElementSize(frame);
  const view = useViewCommands({ image: study.image, viewport, state, dispatch, commands });
  const place = useMemo(
    () => (view === null ? null : { image: study.image, turn: state.turn, view }),
    [view, study.image, state.turn],
  );
  const { id } = study;
  const { greys } = own;
  useEffect(() => {
    if (greys !== null) {
      dispatch({ type: "rangeKnown", studyId: id, range: rangeOf(greys) });
    }
  }, [id, greys, dispatch]);
  return (
    <section className={styles.viewer} aria-label={t("Radiograph")}>
      <Toolbar study={study} isBlind={isBlind} own={own} state={state} shown={shown} dispatch={dispatch} scale={view?.scale ?? null} commands={commands} />
      <div className={styles.panes} data-compared={state.prior !== null}>
        <GreyFilter id={filterId} windowLevel={state.windowLevel} inverted={state.inverted} />
        <Viewport {...{ frame, study, trust, review, own, state, shown, dispatch, place, viewport, commands, filter }} />
        {state.prior !== null && place !== null && (
          <PriorPane
            {...{ study, state, place, filter, dispatch, commands }}
            prior={state.prior}
            isHidden={isBlind || isKeptBack(state.prior, readsFirst)}
          />
        )}
      </div>
      <div className={styles.controls}>
        <GreyControls
          {...{ studyId: study.id, own, dispatch }}
          {...{ windowLevel: state.windowLevel, range: state.range, preset: state.preset, inverted: state.inverted }}
        />
        <HeatmapControls {...{ study, trust, dispatch }} {...{ heatmap: shown.heatmap, heatmapShown: shown.heatmapShown, opacity: state.heatmapOpacity }} />
      </div>
    </section>
  );
}
