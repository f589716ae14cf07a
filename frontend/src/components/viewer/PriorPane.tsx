import { type Dispatch, type RefObject, useEffect, useRef } from "react";

import type { Study, StudySummary } from "../../api/schema";
import { imageUrl } from "../../api/urls";
import { shownSize, UPRIGHT, type Place } from "../../domain/turn";
import { linkedView, whenText } from "../../domain/priors";
import { shortId, studyTitle } from "../../domain/studies";
import { headline } from "../../domain/triage";
import { useGreys } from "../../state/useGreys";
import type { ViewerAction, ViewerState } from "../../state/viewer";
import { IconButton } from "../controls";
import { listenToGestures } from "./gestures";
import { GreyLayer } from "./GreyLayer";
import { Layer } from "./Layer";
import type { ViewCommands } from "./viewCommands";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface PriorPaneProps {
  readonly study: Study;
  readonly prior: StudySummary;
  /** Whether what the models say of it is kept back. */
  readonly isHidden: boolean;
  readonly state: ViewerState;
  readonly place: Place;
  readonly filter: string | undefined;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly commands: RefObject<ViewCommands | null>;
}

/** Another image of the same patient, moved and windowed together with the current one. */
export function PriorPane({ study, prior, isHidden, state, place, filter, dispatch, commands }: PriorPaneProps) {
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return undefined;
    }
    return listenToGestures(element, () => "pan", {
      onPan: (dx, dy) => commands.current?.pan(dx, dy),
      onZoom: (factor, anchor) => commands.current?.zoom(factor, anchor),
      onWindow: (dxPx, dyPx) => dispatch({ type: "windowDragged", dxPx, dyPx }),
      onMeasure: () => undefined,
      onTap: () => undefined,
      onDoubleTap: (anchor) => commands.current?.toggleZoom(anchor),
    });
  }, [dispatch, commands]);
  const own = useGreys(prior.id);
  // It hangs as it came: the turn is that of the current image.
  const view = linkedView(place.view, shownSize(place.image, place.turn), prior.image);
  const linked: Place = { image: prior.image, turn: UPRIGHT, view };
  return (
    <section className={styles.prior} aria-label={t("Other image of this patient")}>
      <div ref={frame} className={styles.viewport} data-prior={prior.id}>
        <Layer
          key={prior.id}
          src={imageUrl(prior.id)}
          name="earlier radiograph"
          place={linked}
          filter={filter}
        />
        <GreyLayer
          key={`${prior.id} greys`}
          own={own}
          windowLevel={state.windowLevel}
          inverted={state.inverted}
          place={linked}
          shown={filter !== undefined}
          whole={false}
        />
        <div className={styles.priorHead}>
          <strong>{whenText(study, prior)}</strong>
          <span>
            {studyTitle(prior)} · {shortId(prior.id)}
          </span>
          <span>{isHidden ? t("Read first") : prior.triage === null ? t("Not analysed") : headline(prior)}</span>
        </div>
        <div className={styles.priorClose}>
          <IconButton
            icon="close"
            label={t("Close the other image")}
            shortcut="p"
            onClick={() => dispatch({ type: "priorSet", prior: null })}
          />
        </div>
      </div>
    </section>
  );
}
