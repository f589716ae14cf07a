import { type Dispatch, useMemo } from "react";

import type { Box, Study } from "../../api/schema";
import { colourOf } from "../../domain/colours";
import { count, displayName, percent, score } from "../../domain/format";
import { groupBoxes, type RegionGroup } from "../../domain/regions";
import type { ViewerAction, ViewerState } from "../../state/viewer";
import styles from "./result.module.css";

interface RegionsProps {
  readonly study: Study;
  readonly state: ViewerState;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly onFocus: (box: Box) => void;
}

/** The boxes as a list: each kind can be hidden, each box can be gone to. */
export function Regions({ study, state, dispatch, onFocus }: RegionsProps) {
  const groups = useMemo(() => groupBoxes(study.boxes), [study.boxes]);
  const detectorMissing = study.problems.some(({ service }) => service === "detector");
  return (
    <section className={styles.section} aria-labelledby="regions">
      <h3 id="regions">
        Suspicious regions <span className={styles.muted}>{study.boxes.length}</span>
      </h3>
      {groups.length === 0 && (
        <p className={styles.muted}>
          {detectorMissing ? "Not available: the detector did not respond." : "None detected."}
        </p>
      )}
      {groups.length > 0 && <p className={styles.muted}>{whatRanks(study)}</p>}
      <ul className={styles.regions}>
        {groups.map((group) => (
          <li key={group.finding}>
            <GroupToggle group={group} state={state} dispatch={dispatch} />
            <ul className={styles.boxes}>
              {group.indices.map((index) => (
                <RegionRow
                  key={index}
                  box={study.boxes[index]}
                  rescored={study.rescoring !== null}
                  selected={state.selectedBox === index}
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
  readonly state: ViewerState;
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

interface RegionRowProps {
  readonly box: Box | undefined;
  /** Whether its score is more than the detector's own. */
  readonly rescored: boolean;
  readonly selected: boolean;
  readonly onSelect: (box: Box) => void;
}

function RegionRow({ box, rescored, selected, onSelect }: RegionRowProps) {
  if (box === undefined) {
    return null;
  }
  return (
    <li>
      <button
        type="button"
        className={styles.region}
        aria-pressed={selected}
        aria-label={described(box, rescored)}
        onClick={() => onSelect(box)}
      >
        <span>score {score(box.score)}</span>
        <span className={styles.muted}>{parts(box, rescored).join(" · ")}</span>
        <span className={styles.coordinates}>
          {Math.round(box.x_max - box.x_min)} × {Math.round(box.y_max - box.y_min)} px
        </span>
      </button>
    </li>
  );
}

/** Which score selected and ordered the boxes. */
function whatRanks({ rescoring }: Study): string {
  return rescoring === null
    ? "By the detector's own score, without the classifier."
    : "By the rescored value: how likely it is that the region is right.";
}

/** What a box's score is made of, or stands beside. */
function parts(box: Box, rescored: boolean): string[] {
  const probability = box.classifier_probability;
  const classifier = probability === null ? "no classifier label" : `classifier ${percent(probability)}`;
  return rescored ? [`detector ${score(box.detector_score)}`, classifier] : [classifier];
}

/** The same for someone who hears it. */
function described(box: Box, rescored: boolean): string {
  const shown = `Show ${displayName(box.finding).toLowerCase()}, score ${score(box.score)}`;
  const from = parts(box, rescored);
  return rescored ? `${shown}, made of ${from.join(" and ")}` : `${shown}, ${from.join(", ")}`;
}
