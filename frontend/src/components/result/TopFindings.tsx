import type { Box, FindingProbability, Study, TriageCause } from "../../api/schema";
import { colourOf } from "../../domain/colours";
import { displayName, percent, thresholdPercent } from "../../domain/format";
import { levelMeaning } from "../../domain/levels";
import { PRIORITY_NAMES } from "../../domain/studies";
import { cardsOf, causeBox, causeName } from "../../domain/triage";
import { Icon } from "../Icon";
import { BarScale, FindingBar, LevelChip } from "./FindingBar";
import { findingTarget, isSame } from "../../domain/review";
import type { OpenReview } from "../../state/useReview";
import type { SettledState } from "../../state/viewer";
import { MapButton, type MapProps } from "./MapButton";
import { ReviewButtons } from "./ReviewButtons";
import { ReviewForm } from "./ReviewForm";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface TopFindingsProps extends MapProps {
  readonly review: OpenReview;
  readonly state: SettledState;
  readonly onFocusBox: (box: Box) => void;
}

/** The cause of the priority, then the most likely findings. */
export function TopFindings(props: TopFindingsProps) {
  const { study, trust } = props;
  const cards = cardsOf(study);
  const cause = study.triage?.cause ?? null;
  // A region whose kind the classifier does not know has no card of its own.
  const causeAlone = cause !== null && !cards.some(({ finding }) => finding === cause.finding);
  if (cards.length === 0 && !causeAlone) {
    return null;
  }
  return (
    <section className={styles.section} aria-labelledby="top-findings">
      <h3 id="top-findings">{t("Most likely findings")}</h3>
      {cards.every(({ level }) => level === "unlikely") && <p>{t("None is likely or possible.")}</p>}
      <ol className={styles.top}>
        {causeAlone && (
          <li className={styles.finding} data-cause>
            <Cause {...props} cause={cause} />
          </li>
        )}
        {cards.map((finding) => (
          <li
            key={finding.finding}
            className={styles.finding}
            data-finding={finding.finding}
            data-cause={cause?.finding === finding.finding || undefined}
          >
            {cause !== null && cause.finding === finding.finding && <Cause {...props} cause={cause} />}
            <FindingCard {...props} finding={finding} />
          </li>
        ))}
      </ol>
      {cards.length > 0 && <BarScale derived={trust.levelsAreDerived} />}
    </section>
  );
}

function FindingCard(props: TopFindingsProps & { readonly finding: FindingProbability }) {
  const { study, finding, trust, review, state, dispatch } = props;
  const target = findingTarget(finding);
  const meaning = levelMeaning(finding, trust.levels);
  return (
    <>
      <div className={styles.findingHead}>
        <span className={styles.findingName}>{displayName(finding.finding)}</span>
        <span className={styles.probability}>{percent(finding.probability)}</span>
      </div>
      <FindingBar finding={finding} />
      <div className={styles.findingFoot}>
        <LevelChip level={finding.level} />
        <MapButton {...props} finding={finding.finding} />
      </div>
      {meaning !== null && <p className={styles.muted}>{meaning}</p>}
      <ReviewButtons
        {...{ review, dispatch, target }}
        editing={state.editing}
        unlikely={finding.level === "unlikely"}
      />
      {isSame(state.editing, target) && review.say !== null && (
        <ReviewForm
          key={study.id}
          {...{ study, review, dispatch }}
          editing={target}
          drawn={state.drawn}
          isDrawing={state.tool === "draw"}
        />
      )}
    </>
  );
}

/** What decided the priority, what it was compared with, and where it lies. */
function Cause({ study, dispatch, onFocusBox, cause }: TopFindingsProps & { readonly cause: TriageCause }) {
  const priority = study.triage?.priority ?? "routine";
  const marked = causeBox(study);
  return (
    <div className={styles.cause}>
      <p>
        <strong>{t("Why {0}:", PRIORITY_NAMES[priority].toLowerCase())}</strong> {causeSentence(cause, study)}
      </p>
      {marked !== null && (
        <button
          type="button"
          className="chip"
          aria-label={t("Show the region: {0}", causeName(cause).toLowerCase())}
          onClick={() => {
            dispatch({ type: "boxSelected", index: marked.index });
            onFocusBox(marked.box);
          }}
        >
          <span className={styles.swatch} style={{ backgroundColor: colourOf(marked.box.finding) }} />
          <Icon name="target" size={14} />{" "}{t("Region")}
        </button>
      )}
    </div>
  );
}

function causeSentence(cause: TriageCause, study: Study): string {
  const name = causeName(cause).toLowerCase();
  const what = cause.region === null ? name : t("a region marked as {0}, detector's score", name);
  return `${what} ${percent(cause.value)}${comparedWith(cause, study)}.`;
}

/** The usual value of the fit; where no fit decided, the operating point that was reached. */
function comparedWith({ finding, region, usual, level }: TriageCause, { findings }: Study): string {
  if (usual !== null) {
    return t("; half of all images have {0} or less", percent(usual));
  }
  const card = findings.find((one) => one.finding === finding);
  if (region !== null || card === undefined || level === null || level === "unlikely") {
    return "";
  }
  const reached = level === "likely" ? card.likely_threshold : card.possible_threshold;
  return t("; {0} from {1} on", level, thresholdPercent(reached));
}
