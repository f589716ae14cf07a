import type { Dispatch, RefObject } from "react";

import type { Study } from "../../api/schema";
import { overlayUrl, studyUrl } from "../../api/urls";
import type { ViewerAction, ViewerState } from "../../state/viewer";
import { IconButton } from "../controls";
import { Icon } from "../Icon";
import { type ViewCommands, ZOOM_STEP } from "./viewCommands";
import styles from "./viewer.module.css";

interface ToolbarProps {
  readonly study: Study;
  readonly state: ViewerState;
  readonly dispatch: Dispatch<ViewerAction>;
  /** Screen pixels for one image pixel; null before the image is laid out. */
  readonly scale: number | null;
  readonly commands: RefObject<ViewCommands | null>;
}

export function Toolbar({ study, state, dispatch, scale, commands }: ToolbarProps) {
  return (
    <div className={styles.toolbar} role="group" aria-label="Image tools">
      <div className={styles.toolGroup}>
        <IconButton icon="minus" label="Zoom out" shortcut="-" onClick={() => commands.current?.zoom(1 / ZOOM_STEP)} />
        <button
          type="button"
          className={`icon-button ${styles.zoom ?? ""}`}
          title="One image pixel per screen pixel (1)"
          aria-label={`Zoom ${zoomText(scale)}: show one image pixel per screen pixel`}
          onClick={() => commands.current?.actualSize()}
        >
          {zoomText(scale)}
        </button>
        <IconButton icon="plus" label="Zoom in" shortcut="+" onClick={() => commands.current?.zoom(ZOOM_STEP)} />
        <IconButton icon="fit" label="Fit the whole image" shortcut="0" onClick={() => commands.current?.fit()} />
      </div>
      <div className={styles.toolGroup}>
        <ToolSwitch state={state} dispatch={dispatch} />
        <IconButton
          icon="invert"
          label="Invert the greys"
          shortcut="i"
          pressed={state.inverted}
          onClick={() => dispatch({ type: "invertToggled" })}
        />
        <IconButton
          icon="boxes"
          label="Show the regions"
          shortcut="b"
          pressed={state.boxesShown}
          onClick={() => dispatch({ type: "boxesToggled" })}
        />
      </div>
      <Downloads study={study} />
    </div>
  );
}

function ToolSwitch({ state, dispatch }: Pick<ToolbarProps, "state" | "dispatch">) {
  return (
    <>
      <IconButton
        icon="hand"
        label="Drag moves the image"
        pressed={state.tool === "pan"}
        onClick={() => dispatch({ type: "toolSet", tool: "pan" })}
      />
      <IconButton
        icon="contrast"
        label="Drag sets window and level"
        shortcut="w"
        pressed={state.tool === "window"}
        onClick={() => dispatch({ type: "toolSet", tool: "window" })}
      />
    </>
  );
}

function Downloads({ study }: { readonly study: Study }) {
  return (
    <div className={`${styles.toolGroup ?? ""} ${styles.downloads ?? ""}`}>
      {study.status !== "rejected" && study.status !== "failed" && (
        <a
          className="button button-quiet"
          id="download-overlay"
          href={overlayUrl(study.id)}
          download={`${study.id}-overlay.png`}
          title="Save the image with its findings (S)"
        >
          <Icon name="download" /> Image
        </a>
      )}
      <a
        className="button button-quiet"
        href={studyUrl(study.id)}
        download={`${study.id}.json`}
        title="Save the result as JSON"
      >
        <Icon name="download" /> Result
      </a>
    </div>
  );
}

function zoomText(scale: number | null): string {
  return scale === null ? "–" : `${Math.round(scale * 100)}%`;
}
