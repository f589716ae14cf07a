import { type Dispatch, memo, useId } from "react";

import type { Finding, Study } from "../../api/schema";
import { displayName, percent } from "../../domain/format";
import { mapTitle, type Trust } from "../../domain/trust";
import type { ViewerAction } from "../../state/viewer";
import { IconButton, Slider } from "../controls";
import { t } from "../../i18n/t";
import styles from "./viewer.module.css";

interface HeatmapControlsProps {
  readonly study: Study;
  readonly trust: Trust;
  readonly opacity: number;
  readonly heatmap: Finding | null;
  readonly heatmapShown: boolean;
  readonly dispatch: Dispatch<ViewerAction>;
}

/** Which finding's map is laid over the image, and how strongly. */
export const HeatmapControls = memo(function HeatmapControls(props: HeatmapControlsProps) {
  const { study, trust, opacity, heatmap, heatmapShown, dispatch } = props;
  const id = useId();
  const { heatmaps } = study;
  const none = heatmaps.length === 0;
  const title = none && study.findings.length > 0 ? t("This classifier has no maps") : mapTitle(trust);
  const choose = (value: string): void => {
    const finding = heatmaps.find((candidate) => candidate === value);
    if (finding !== undefined) {
      dispatch({ type: "heatmapSet", finding });
    }
  };
  return (
    <div
      className={`${styles.controlGroup ?? ""} ${styles.maps ?? ""}`}
      role="group"
      aria-label={title}
      title={title}
    >
      <IconButton
        icon="heat"
        label={t("Show: {0}", mapTitle(trust).toLowerCase())}
        shortcut="h"
        pressed={heatmapShown}
        disabled={none}
        onClick={() => dispatch({ type: "heatmapShown", shown: !heatmapShown })}
      />
      <label className="field" htmlFor={id}>
        <span className="visually-hidden">{t("Map of")}</span>
        <select
          id={id}
          value={heatmap ?? ""}
          disabled={none}
          aria-keyshortcuts=". ,"
          onChange={(event) => choose(event.currentTarget.value)}
        >
          {none && <option value="">{t("None")}</option>}
          {heatmaps.map((finding) => (
            <option key={finding} value={finding}>
              {displayName(finding)}
            </option>
          ))}
        </select>
      </label>
      <Slider
        label={t("Opacity")}
        min={0}
        max={1}
        step={0.05}
        value={opacity}
        text={percent(opacity)}
        disabled={!heatmapShown}
        onChange={(set) => dispatch({ type: "opacitySet", opacity: set })}
      />
    </div>
  );
});
