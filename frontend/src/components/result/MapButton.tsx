import type { Dispatch } from "react";

import type { Finding, Study } from "../../api/schema";
import { displayName } from "../../domain/format";
import { mapTitle, type Trust } from "../../domain/trust";
import type { Shown, ViewerAction } from "../../state/viewer";
import { Icon } from "../Icon";
import { t } from "../../i18n/t";

export interface MapProps {
  readonly study: Study;
  readonly trust: Trust;
  readonly shown: Shown;
  readonly dispatch: Dispatch<ViewerAction>;
}

/** Lays the map of one finding over the image, or takes it away. */
export function MapButton({ study, trust, shown, dispatch, finding }: MapProps & { readonly finding: Finding }) {
  if (!study.heatmaps.includes(finding)) {
    return null;
  }
  const pressed = shown.heatmapShown && shown.heatmap === finding;
  const label = `${mapTitle(trust)}: ${displayName(finding).toLowerCase()}`;
  return (
    <button
      type="button"
      className="chip"
      aria-pressed={pressed}
      aria-label={label}
      title={label}
      onClick={() =>
        dispatch(pressed ? { type: "heatmapShown", shown: false } : { type: "heatmapSet", finding })
      }
    >
      <Icon name="heat" size={14} />{" "}{t("Map")}
    </button>
  );
}
