import { memo, type MouseEvent, useEffect, useRef } from "react";

import type { StudySummary } from "../../api/schema";
import { displayName, fullTime, percent, shortTime } from "../../domain/format";
import { PRIORITY_NAMES, STATUS_NAMES, studyTitle } from "../../domain/studies";
import { pathOf } from "../../state/useRoute";
import { Icon, type IconName } from "../Icon";
import styles from "./list.module.css";

interface StudyRowProps {
  readonly study: StudySummary;
  readonly isOpen: boolean;
  readonly onOpen: (id: string) => void;
  readonly now: Date;
}

/** A link, so that a study can be opened in another tab. */
export const StudyRow = memo(function StudyRow({ study, isOpen, onOpen, now }: StudyRowProps) {
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (isOpen) {
      link.current?.scrollIntoView({ block: "nearest" });
    }
  }, [isOpen]);
  const open = (event: MouseEvent): void => {
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0;
    if (!elsewhere) {
      event.preventDefault();
      onOpen(study.id);
    }
  };
  const badge = badgeOf(study);
  return (
    <li>
      <a
        ref={link}
        className={styles.row}
        href={pathOf(study.id)}
        aria-current={isOpen ? "page" : undefined}
        data-study={study.id}
        data-tone={badge.tone}
        onClick={open}
      >
        <span className={styles.rowTop}>
          <span className={styles.badge}>
            <Icon name={badge.icon} size={16} /> {badge.text}
          </span>
          <time dateTime={study.received_at} title={fullTime(study.received_at)}>
            {shortTime(study.received_at, now)}
          </time>
        </span>
        <span className={styles.rowTitle}>{studyTitle(study)}</span>
        <span className={styles.muted}>{summaryOf(study)}</span>
      </a>
    </li>
  );
});

interface Badge {
  readonly tone: string;
  readonly icon: IconName;
  readonly text: string;
}

function badgeOf({ triage, status }: StudySummary): Badge {
  if (triage === null) {
    const icon = status === "rejected" ? "refused" : "unread";
    return { tone: status, icon, text: STATUS_NAMES[status] };
  }
  const partial = status === "partial" ? ", partial" : "";
  const { priority } = triage;
  return { tone: priority, icon: priority, text: `${PRIORITY_NAMES[priority]}${partial}` };
}

function summaryOf({ status, top_findings: [first], ood }: StudySummary): string {
  if (status === "rejected") {
    return ood.reason ?? "Not a frontal chest radiograph";
  }
  if (status === "failed") {
    return "Both models are unavailable";
  }
  if (first === undefined) {
    return "No findings: the classifier is missing";
  }
  const verdict = first.positive ? "" : ", below threshold";
  return `${displayName(first.finding)} ${percent(first.probability)}${verdict}`;
}
