import { type Dispatch, useMemo } from "react";

import type { Box, Study } from "../../api/schema";
import { colourOf } from "../../domain/colours";
import { count, displayName, percent, score } from "../../domain/format";
import { groupBoxes, rankingScore, type RegionGroup } from "../../domain/regions";
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
  const detectorMissing = study.problems.some(({ part }) => part === "detector");
  return (
    <section className={styles.section} aria-labelledby="regions">
      <h3 id="regions">
        Suspicious regions <span className={styles.muted}>{study.boxes.length}</span>
      </h3>
      {groups.length === 0 && (
        <p className={styles.muted}>
          {detectorMissing ? "Not looked for: the detector did not answer." : "None was marked."}
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
  readonly selected: boolean;
  readonly onSelect: (box: Box) => void;
}

function RegionRow({ box, selected, onSelect }: RegionRowProps) {
  if (box === undefined) {
    return null;
  }
  return (
    <li>
      <button
        type="button"
        className={styles.region}
        aria-pressed={selected}
        aria-label={described(box)}
        onClick={() => onSelect(box)}
      >
        <span>
          {box.joined_score === null ? "score" : "joined"} {score(rankingScore(box))}
        </span>
        <span className={styles.muted}>{parts(box).join(" · ")}</span>
        <span className={styles.coordinates}>
          {Math.round(box.x_max - box.x_min)} × {Math.round(box.y_max - box.y_min)} px
        </span>
      </button>
    </li>
  );
}

/** Which score chose and ordered the boxes. */
function whatRanks({ joining }: Study): string {
  return joining === null
    ? "By the detector's own score, not joined with the classifier's opinion."
    : "By the joined score: how likely it is that the region is right.";
}

/** What a box's ranking score is made of, or stands beside. */
function parts(box: Box): string[] {
  const opinion = box.classifier_probability;
  const said = opinion === null ? "no classifier label" : `classifier ${percent(opinion)}`;
  return box.joined_score === null ? [said] : [`detector ${score(box.score)}`, said];
}

/** The same for someone who hears it. */
function described(box: Box): string {
  const name = displayName(box.finding).toLowerCase();
  if (box.joined_score === null) {
    return `Show ${name}, score ${score(box.score)}, ${parts(box).join(", ")}`;
  }
  return `Show ${name}, joined score ${score(box.joined_score)}, made of ${parts(box).join(" and ")}`;
}
