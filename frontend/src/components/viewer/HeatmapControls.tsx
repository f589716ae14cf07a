import { type Dispatch, useId } from "react";

import type { Finding } from "../../api/schema";
import { displayName, percent } from "../../domain/format";
import type { ViewerAction, ViewerState } from "../../state/viewer";
import { Slider } from "../controls";
import styles from "./viewer.module.css";

interface HeatmapControlsProps {
  readonly heatmaps: readonly Finding[];
  readonly state: ViewerState;
  readonly dispatch: Dispatch<ViewerAction>;
}

/** Which finding's evidence is laid over the image, and how strongly. */
export function HeatmapControls({ heatmaps, state, dispatch }: HeatmapControlsProps) {
  const id = useId();
  const { heatmap, heatmapOpacity } = state;
  const none = heatmaps.length === 0;
  const choose = (value: string): void => {
    const finding = heatmaps.find((candidate) => candidate === value) ?? null;
    dispatch({ type: "heatmapSet", finding });
  };
  return (
    <div className={styles.controlGroup} role="group" aria-label="Heat map">
      <label className="field" htmlFor={id}>
        <span className="field-label">Heat map</span>
        <select
          id={id}
          value={heatmap ?? ""}
          disabled={none}
          aria-keyshortcuts="h"
          onChange={(event) => choose(event.currentTarget.value)}
        >
          <option value="">{none ? "None" : "Off"}</option>
          {heatmaps.map((finding) => (
            <option key={finding} value={finding}>
              {displayName(finding)}
            </option>
          ))}
        </select>
      </label>
      <Slider
        label="Opacity"
        min={0}
        max={1}
        step={0.05}
        value={heatmapOpacity}
        text={percent(heatmapOpacity)}
        disabled={heatmap === null}
        onChange={(opacity) => dispatch({ type: "opacitySet", opacity })}
      />
    </div>
  );
}
