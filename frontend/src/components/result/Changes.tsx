import { changesOf } from "../../domain/changes";
import { displayName, percent } from "../../domain/format";
import type { Study } from "../../api/schema";
import { useOtherStudy } from "../../state/useOtherStudy";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface ChangesProps {
  readonly study: Study;
  /** The image beside it: earlier, or of the same or an unknown day. */
  readonly priorId: string;
}

/** What the classifier said of each finding then and says now, with the doubt about the difference. */
export function Changes({ study, priorId }: ChangesProps) {
  const { study: prior, error } = useOtherStudy(priorId);
  if (prior === null) {
    return (
      <p className={styles.muted} role="status">
        {error === null ? t("Comparing…") : error.detail}
      </p>
    );
  }
  const rows = changesOf(study, prior);
  if (rows.length === 0) {
    return <p className={styles.muted}>{t("The classifier's answer is missing in one of the two.")}</p>;
  }
  return (
    <div className={styles.changes}>
      <table>
        <caption>{t("The model's percentages, then and now")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("Finding")}</th>
            <th scope="col">{t("Other image")}</th>
            <th scope="col">{t("This image")}</th>
            <th scope="col">{t("Difference")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ finding, before, now, points }) => (
            <tr key={finding}>
              <th scope="row">{displayName(finding)}</th>
              <td>{percent(before)}</td>
              <td>{percent(now)}</td>
              <td>{t("{0} points", signed(points))}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className={styles.muted}>
        {t("Two radiographs of one patient can differ by as much without any change: position, breath and exposure move the percentages, too. By how much was not measured.")}
      </p>
      {isOtherModel(study, prior) && (
        <p className={styles.muted}>{t("Another model answered then: some of the difference is the model's.")}</p>
      )}
    </div>
  );
}

function isOtherModel(one: Study, other: Study): boolean {
  const answeredBy = ({ models }: Study): string | undefined =>
    models.find(({ role }) => role === "classifier")?.sha256;
  return answeredBy(one) !== answeredBy(other);
}

/** With a true minus, and a plus where there is more. */
function signed(points: number): string {
  return points > 0 ? `+${points}` : points < 0 ? `−${-points}` : "0";
}
