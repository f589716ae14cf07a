import { type Dispatch, memo, type RefObject } from "react";

import type { PixelSpacing, Study } from "../../api/schema";
import { type Look, overlayUrl, studyUrl } from "../../api/urls";
import { isAlike } from "../../domain/alike";
import { firstRatio, spacingNote } from "../../domain/measuring";
import type { OwnGreys } from "../../state/useGreys";
import { isSettled, lookOf, type SettledState, type Shown, type ViewerAction, type ViewerState } from "../../state/viewer";
import { IconButton } from "../controls";
import { Icon } from "../Icon";
import { type ViewCommands, ZOOM_STEP } from "./viewCommands";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface ToolbarProps {
  readonly study: Study;
  readonly own: OwnGreys;
  readonly isBlind: boolean;
  readonly state: ViewerState;
  readonly shown: Shown;
  readonly dispatch: Dispatch<ViewerAction>;
  /** Screen pixels for one image pixel; null before the image is laid out. */
  readonly scale: number | null;
  readonly commands: RefObject<ViewCommands | null>;
}

export function Toolbar({ study, own, isBlind, state, shown, dispatch, scale, commands }: ToolbarProps) {
  return (
    <div className={styles.toolbar} role="group" aria-label={t("Image tools")}>
      <div className={styles.toolGroup}>
        <IconButton icon="minus" label={t("Zoom out")} shortcut="-" onClick={() => commands.current?.zoom(1 / ZOOM_STEP)} />
        <button
          type="button"
          className={`icon-button ${styles.zoom ?? ""}`}
          title={t("One image pixel per pixel of the screen (1)")}
          aria-label={t("Zoom {0}: show one image pixel per pixel of the screen", zoomText(scale))}
          onClick={() => commands.current?.actualSize()}
        >
          {zoomText(scale)}
        </button>
        <IconButton icon="plus" label={t("Zoom in")} shortcut="+" onClick={() => commands.current?.zoom(ZOOM_STEP)} />
        <IconButton icon="fit" label={t("Fit the whole image")} shortcut="0" onClick={() => commands.current?.fit()} />
      </div>
      <Tools {...{ study, state, dispatch }} spacing={own.greys?.spacing ?? null} hasRatio={state.ratio !== null} />
      {!isBlind && <Downloads study={study} look={lookOf(state, shown, own.greys)} />}
    </div>
  );
}

interface ToolsProps {
  readonly study: Study;
  readonly spacing: PixelSpacing | null;
  readonly state: SettledState;
  readonly hasRatio: boolean;
  readonly dispatch: Dispatch<ViewerAction>;
}

const Tools = memo(function Tools({ study, spacing, state, hasRatio, dispatch }: ToolsProps) {
  return (
    <div className={styles.toolGroup}>
      <IconButton
        icon="hand"
        label={t("Drag moves the image")}
        pressed={state.tool === "pan"}
        onClick={() => dispatch({ type: "toolSet", tool: "pan" })}
      />
      <IconButton
        icon="contrast"
        label={t("Drag sets window and level")}
        shortcut="w"
        pressed={state.tool === "window"}
        onClick={() => dispatch({ type: "toolSet", tool: "window" })}
      />
      <IconButton
        icon="ruler"
        label={t("Drag measures a distance. {0}", spacingNote(spacing))}
        shortcut="m"
        pressed={state.tool === "ruler"}
        onClick={() => dispatch({ type: "toolSet", tool: state.tool === "ruler" ? "pan" : "ruler" })}
      />
      <IconButton
        icon="angle"
        label={t("Drag two lines and measure their angle")}
        shortcut="e"
        pressed={state.tool === "angle"}
        onClick={() => dispatch({ type: "toolSet", tool: state.tool === "angle" ? "pan" : "angle" })}
      />
      <IconButton
        icon="ratio"
        label={t("Measure the cardiothoracic ratio")}
        shortcut="o"
        pressed={hasRatio}
        onClick={() => dispatch({ type: "ratioSet", ratio: hasRatio ? null : firstRatio(study) })}
      />
      <IconButton
        icon="lens"
        label={t("A lens that follows the pointer")}
        shortcut="v"
        pressed={state.magnified}
        onClick={() => dispatch({ type: "magnifierToggled" })}
      />
      <IconButton
        icon="invert"
        label={t("Invert the greys")}
        shortcut="i"
        pressed={state.inverted}
        onClick={() => dispatch({ type: "invertToggled" })}
      />
      <IconButton
        icon="turn"
        label={t("Turn the image clockwise")}
        shortcut="q"
        onClick={() => dispatch({ type: "turned" })}
      />
      <IconButton
        icon="flip"
        label={t("Flip the image, left for right")}
        shortcut="f"
        onClick={() => dispatch({ type: "flipped" })}
      />
      <IconButton
        icon="file"
        label={t("Show names on the image")}
        shortcut="t"
        pressed={state.cornersShown}
        onClick={() => dispatch({ type: "cornersToggled" })}
      />
      <IconButton
        icon="boxes"
        label={t("Show the regions")}
        shortcut="b"
        pressed={state.boxesShown}
        onClick={() => dispatch({ type: "boxesToggled" })}
      />
    </div>
  );
}, ({ state, ...before }, { state: next, ...now }) => isSettled(state, next) && isAlike(before, now));

function Downloads({ study, look }: { readonly study: Study; readonly look: Look }) {
  return (
    <div className={`${styles.toolGroup ?? ""} ${styles.downloads ?? ""}`}>
      {study.status !== "rejected" && study.status !== "failed" && (
        <a
          className="button button-quiet"
          id="download-overlay"
          href={overlayUrl(study.id, look)}
          download={`${study.id}-overlay.png`}
          title={t("Save the image as it is shown, with its findings (S)")}
        >
          <Icon name="download" />{" "}{t("Image")}
        </a>
      )}
      <a
        className="button button-quiet"
        href={studyUrl(study.id)}
        download={`${study.id}.json`}
        title={t("Save the result as JSON")}
      >
        <Icon name="download" />{" "}{t("Result")}
      </a>
    </div>
  );
}

function zoomText(scale: number | null): string {
  return scale === null ? "–" : `${Math.round(scale * window.devicePixelRatio * 100)}%`;
}
