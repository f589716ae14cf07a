import { type Dispatch, useMemo } from "react";

import type { Box, Study } from "../../api/schema";
import { colourOf } from "../../domain/colours";
import { count, displayName, percent } from "../../domain/format";
import { groupBoxes, type RegionGroup } from "../../domain/regions";
import { boxTarget, isSame } from "../../domain/review";
import type { OpenReview } from "../../state/useReview";
import type { ViewerAction, SettledState } from "../../state/viewer";
import { Slider } from "../controls";
import { ReviewButtons } from "./ReviewButtons";
import { ReviewForm } from "./ReviewForm";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface RegionsProps {
  readonly study: Study;
  readonly review: OpenReview;
  readonly state: SettledState;
  readonly selected: number | null;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly onFocus: (box: Box) => void;
}

/** The boxes as a list: each kind can be hidden, each box can be gone to. */
export function Regions({ study, review, state, selected, dispatch, onFocus }: RegionsProps) {
  const groups = useMemo(() => groupBoxes(study.boxes), [study.boxes]);
  const detectorMissing = study.problems.some(({ service }) => service === "detector");
  return (
    <section className={styles.section} aria-labelledby="regions">
      <h3 id="regions">
        {t("Suspicious regions")}{" "}<span className={styles.muted}>{study.boxes.length}</span>
      </h3>
      {groups.length === 0 && (
        <p className={styles.muted}>
          {detectorMissing ? t("Not available: the detector did not respond.") : t("None detected.")}
        </p>
      )}
      {groups.length > 0 && <p className={styles.muted}>{whatRanks(study)}</p>}
      {groups.length > 0 && (
        <Slider
          label={t("Least score")}
          min={0}
          max={1}
          step={0.01}
          value={state.leastScore}
          text={percent(state.leastScore)}
          onChange={(score) => dispatch({ type: "leastScoreSet", score })}
        />
      )}
      <ul className={styles.regions}>
        {groups.map((group) => (
          <li key={group.finding}>
            <GroupToggle group={group} state={state} dispatch={dispatch} />
            <ul className={styles.boxes}>
              {group.indices.map((index) => (
                <RegionRow
                  key={index}
                  {...{ study, review, state, dispatch, index }}
                  box={study.boxes[index]}
                  selected={selected === index}
                  onSelect={(box) => {
                    dispatch({ type: "boxSelected", index });
                    onFocus(box);
                  }}
                />
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface GroupToggleProps {
  readonly group: RegionGroup;
  readonly state: SettledState;
  readonly dispatch: Dispatch<ViewerAction>;
}

function GroupToggle({ group, state, dispatch }: GroupToggleProps) {
  const { finding } = group;
  return (
    <label className={styles.groupToggle}>
      <input
        type="checkbox"
        checked={!state.hidden.has(finding)}
        onChange={() => dispatch({ type: "findingToggled", finding })}
      />
      <span className={styles.swatch} style={{ backgroundColor: colourOf(finding) }} />
      <span className={styles.findingName}>{displayName(finding)}</span>
      <span className={styles.muted}>{count(group.count, "region")}</span>
    </label>
  );
}

interface RegionRowProps extends Omit<RegionsProps, "selected" | "onFocus"> {
  readonly index: number;
  readonly box: Box | undefined;
  readonly selected: boolean;
  readonly onSelect: (box: Box) => void;
}

function RegionRow(props: RegionRowProps) {
  const { study, review, state, dispatch, index, box, selected, onSelect } = props;
  if (box === undefined) {
    return null;
  }
  const target = boxTarget(index, box);
  return (
    <li data-below={box.score < state.leastScore || undefined}>
      <button
        type="button"
        className={styles.region}
        aria-pressed={selected}
        aria-label={described(box)}
        onClick={() => onSelect(box)}
      >
        <span>{t("score {0}", percent(box.score))}</span>
        <span className={styles.muted}>{parts(box).join(" · ")}</span>
        <span className={styles.coordinates}>
          {t("{0} × {1} px", Math.round(box.x_max - box.x_min), Math.round(box.y_max - box.y_min))}
        </span>
      </button>
      <ReviewButtons {...{ review, dispatch, target }} editing={state.editing} />
      {isSame(state.editing, target) && review.say !== null && (
        <ReviewForm
          key={study.id}
          {...{ study, review, dispatch }}
          editing={target}
          drawn={state.drawn}
          isDrawing={state.tool === "draw"}
        />
      )}
    </li>
  );
}

/** What the score of a region means. */
function whatRanks({ boxes }: Study): string {
  return boxes.some(isCalibrated)
    ? t("How likely each region is right: of those at 30%, about 3 in 10 were on the radiographs that this was measured on.")
    : t("By the detector's own score, which ranks the regions and is no probability.");
}

/** Whether its score is more than the detector's own. */
function isCalibrated(box: Box): boolean {
  return box.score !== box.detector_score;
}

/** What stands beside a box's score. */
function parts(box: Box): string[] {
  const probability = box.classifier_probability;
  const classifier = probability === null ? t("no classifier label") : t("classifier {0}", percent(probability));
  return isCalibrated(box) ? [t("detector {0}", percent(box.detector_score)), classifier] : [classifier];
}

/** The same for someone who hears it. */
function described(box: Box): string {
  return [t("Show {0}, score {1}", displayName(box.finding).toLowerCase(), percent(box.score)), ...parts(box)].join(", ");
}
