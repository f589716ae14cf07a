import type { Dispatch } from "react";

import { FULL_WINDOW, isFullWindow, MAX_GREY, MIN_WINDOW } from "../../domain/windowLevel";
import type { ViewerAction, ViewerState } from "../../state/viewer";
import { IconButton, Slider } from "../controls";
import styles from "./viewer.module.css";

interface GreyControlsProps {
  readonly state: ViewerState;
  readonly dispatch: Dispatch<ViewerAction>;
}

export function GreyControls({ state, dispatch }: GreyControlsProps) {
  const { windowLevel, inverted } = state;
  const set = (change: Partial<typeof FULL_WINDOW>): void =>
    dispatch({ type: "windowSet", windowLevel: { ...windowLevel, ...change } });
  return (
    <div className={styles.controlGroup} role="group" aria-label="Greys">
      <Slider
        label="Window"
        min={MIN_WINDOW}
        max={2 * MAX_GREY}
        step={1}
        value={windowLevel.window}
        text={String(Math.round(windowLevel.window))}
        onChange={(window) => set({ window })}
      />
      <Slider
        label="Level"
        min={0}
        max={MAX_GREY}
        step={0.5}
        value={windowLevel.level}
        text={String(Math.round(windowLevel.level))}
        onChange={(level) => set({ level })}
      />
      <IconButton
        icon="reset"
        label="Reset the greys"
        shortcut="r"
        disabled={isFullWindow(windowLevel) && !inverted}
        onClick={() => dispatch({ type: "greysReset" })}
      />
    </div>
  );
}
