import { type Dispatch, memo } from "react";

import { type Preset, PRESETS, presetOf } from "../../domain/presets";
import { FULL_WINDOW, type GreyRange, isFullWindow, toldWindow, type WindowLevel } from "../../domain/windowLevel";
import type { OwnGreys } from "../../state/useGreys";
import type { ViewerAction } from "../../state/viewer";
import { IconButton, Slider } from "../controls";
import { applyPreset } from "./applyPreset";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface GreyControlsProps {
  readonly studyId: string;
  readonly own: OwnGreys;
  /** As in the viewer's state. */
  readonly windowLevel: WindowLevel;
  readonly range: GreyRange;
  readonly preset: Preset | null;
  readonly inverted: boolean;
  readonly dispatch: Dispatch<ViewerAction>;
}

export const GreyControls = memo(function GreyControls(props: GreyControlsProps) {
  const { studyId, own, windowLevel, range, preset, inverted, dispatch } = props;
  const told = toldWindow(windowLevel, own.greys);
  const set = (change: Partial<typeof FULL_WINDOW>): void =>
    dispatch({ type: "windowSet", windowLevel: { ...windowLevel, ...change } });
  return (
    <div className={`${styles.controlGroup ?? ""} ${styles.greys ?? ""}`} role="group" aria-label={t("Greys")}>
      <select
        className={styles.preset}
        aria-label={t("Window preset")}
        value={presetOf(windowLevel, preset)}
        onChange={({ currentTarget: { value } }) => {
          const chosen = PRESETS.find((one) => one.value === value);
          if (chosen !== undefined) {
            applyPreset(studyId, own, chosen.value, dispatch);
          }
        }}
      >
        <option value="" hidden>
          {t("By hand")}
        </option>
        {PRESETS.map(({ value, label }) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
      <Slider
        label={t("Window")}
        min={range.minWindow}
        max={2 * (range.high - range.low)}
        step="any"
        value={windowLevel.window}
        text={told.window}
        onChange={(window) => set({ window })}
      />
      <Slider
        label={t("Level")}
        min={range.low}
        max={range.high}
        step="any"
        value={windowLevel.level}
        text={told.level}
        onChange={(level) => set({ level })}
      />
      <IconButton
        icon="reset"
        label={t("Reset the greys")}
        shortcut="r"
        disabled={isFullWindow(windowLevel) && !inverted}
        onClick={() => dispatch({ type: "greysReset" })}
      />
    </div>
  );
});
