import type { MouseEvent } from "react";

import type { StudySummary, Worklist, WorklistState } from "../../api/schema";
import { fullTime, shortTime } from "../../domain/format";
import {
  identityParts,
  isKeptBack,
  isOverdue,
  minutesWaited,
  PRIORITY_NAMES,
  shortId,
  STATUS_NAMES,
  studyTitle,
  WORKLIST_NAMES,
} from "../../domain/studies";
import { headline } from "../../domain/triage";
import { pathOf } from "../../state/useRoute";
import { Icon, type IconName } from "../Icon";
import { t } from "../../i18n/t";
import { tell } from "../../i18n/tell";
import styles from "./list.module.css";

interface StudyRowProps {
  readonly study: StudySummary;
  readonly isOpen: boolean;
  readonly maxWait: number;
  readonly now: Date;
  readonly studies: readonly StudySummary[];
  /** Whether the answers are hidden until a first opinion is given. */
  readonly isBlind: boolean;
  readonly onOpen: (id: string, listed: readonly StudySummary[]) => void;
}

/** A link, so that a study can be opened in another tab. */
export function StudyRow(props: StudyRowProps) {
  const { study, isOpen, maxWait, now, studies, isBlind, onOpen } = props;
  const open = (event: MouseEvent): void => {
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
    if (!elsewhere) {
      event.preventDefault();
      onOpen(study.id, studies);
    }
  };
  const keptBack = isKeptBack(study, isBlind);
  const badge = keptBack ? NEUTRAL : badgeOf(study);
  const identity = identityParts(study).join(" · ");
  const overdue = isOverdue(study, maxWait, now);
  return (
    <a
      className={styles.row}
      href={pathOf(study.id) + window.location.search}
      aria-current={isOpen ? "page" : undefined}
      data-study={study.id}
      data-tone={badge.tone}
      data-work={study.worklist.state}
      onClick={open}
    >
      <span className={styles.rowTop}>
        <span className={styles.badge}>
          <Icon name={badge.icon} size={16} /> {badge.text}
        </span>
        {overdue ? (
          <span className={styles.waits}>{t("waits {0}", waitText(minutesWaited(study.received_at, now)))}</span>
        ) : (
          <WorkMark worklist={study.worklist} />
        )}
        <time dateTime={study.received_at} title={fullTime(study.received_at)}>
          {shortTime(study.received_at, now)}
        </time>
      </span>
      <span className={styles.headline}>{keptBack ? t("Read first") : summaryOf(study)}</span>
      <span className={styles.rowTitle}>
        <span>{studyTitle(study)}</span>
        <span className={styles.shortId}>{shortId(study.id)}</span>
      </span>
      <span className={styles.identity} title={identity}>
        {identity}
      </span>
    </a>
  );
}

const MARKS: Record<WorklistState, string> = { new: "●", assigned: "→", opened: "", done: "✓" };

function WorkMark({ worklist: { state, to } }: { readonly worklist: Worklist }) {
  return (
    <span className={styles.work}>
      <span aria-hidden="true">{MARKS[state]}</span> {WORKLIST_NAMES[state].toLowerCase()}
      {to === null ? "" : t(" to {0}", to)}
    </span>
  );
}

function waitText(minutes: number): string {
  return minutes < 120 ? t("{0} min", minutes) : `${Math.floor(minutes / 60)} h`;
}

interface Badge {
  readonly tone: string;
  readonly icon: IconName;
  readonly text: string;
}

/** Says nothing of what the models answered, nor whether they did. */
const NEUTRAL: Badge = { tone: "blind", icon: "unread", text: t("To be read") };

function badgeOf({ triage, status }: StudySummary): Badge {
  if (triage === null) {
    const icon = status === "rejected" ? "refused" : "unread";
    return { tone: status, icon, text: STATUS_NAMES[status] };
  }
  const partial = status === "partial" ? t(", partial") : "";
  const { priority } = triage;
  return { tone: priority, icon: priority, text: `${PRIORITY_NAMES[priority]}${partial}` };
}

function summaryOf(study: StudySummary): string {
  switch (study.status) {
    case "rejected":
      return study.ood.reason === null ? t("Not a frontal chest radiograph") : tell(study.ood.reason);
    case "failed":
      return t("Both models are unavailable");
    case "pending":
      return t("Being analysed");
    case "complete":
    case "partial":
      return headline(study);
  }
}
