import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useEffectEvent, useRef } from "react";

import type { StudySummary } from "../../api/schema";
import type { StudyList as List } from "../../state/useStudyList";
import { isFiltering, NO_FILTER } from "../../domain/filters";
import { count } from "../../domain/format";
import { Note } from "../controls";
import { Filters } from "./Filters";
import { StudyRow } from "./StudyRow";
import { useNow } from "./useNow";
import { t } from "../../i18n/t";
import styles from "./list.module.css";

interface StudyListProps {
  readonly list: List;
  readonly openId: string | null;
  /** Minutes after which an unopened study rises; 0 for never. */
  readonly maxWait: number;
  readonly isBlind: boolean;
  readonly onOpen: (id: string, listed: readonly StudySummary[]) => void;
}

/** The archive in the order in which it should be read. */
export const StudyList = memo(function StudyList({ list, openId, maxWait, isBlind, onOpen }: StudyListProps) {
  return (
    <nav className={styles.panel} aria-label={t("Studies")}>
      <header className={styles.head}>
        <h2>{t("Studies")}</h2>
        <span className={styles.muted} role="status">
          {statusOf(list)}
        </span>
      </header>
      <Filters filter={list.filter} onChange={list.setFilter} />
      {list.error !== null && !list.error.isConnectionLoss && (
        <Note tone="error" title={list.error.title}>
          <p>{list.error.detail}</p>
        </Note>
      )}
      {list.phase === "ready" && list.isWhole && list.studies.length === 0 && list.error === null && (
        <EmptyList list={list} />
      )}
      <Rows list={list} openId={openId} maxWait={maxWait} isBlind={isBlind} onOpen={onOpen} />
    </nav>
  );
});

function statusOf({ phase, total }: List): string {
  return phase === "loading" ? t("Loading…") : count(total, "study", "studies");
}

/** As in list.module.css. */
const ROW_PX = 92;
const OVERSCAN = 6;

/** Only the rows in sight are in the document, however long the list is. */
function Rows({ list, openId, maxWait, isBlind, onOpen }: StudyListProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const now = useNow();
  const { studies, total, want } = list;
  // eslint-disable-next-line react-hooks/incompatible-library -- rows are memoised by hand
  const rows = useVirtualizer({
    count: total,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => studies[index]?.id ?? index,
    overscan: OVERSCAN,
  });
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => want(last + 1), [want, last]);

  const showOpen = useEffectEvent(() => {
    const index = studies.findIndex(({ id }) => id === openId);
    if (index !== -1) {
      rows.scrollToIndex(index, { align: "auto" });
    }
  });
  const isHere = studies.length > 0;
  useEffect(() => showOpen(), [openId, isHere]);
  return (
    <div ref={scroller} className={styles.rows}>
      <ol style={{ height: rows.getTotalSize() }} aria-label={t("In the order in which they should be read")}>
        {items.map(({ key, index, start }) => (
          <Row
            key={key}
            study={studies[index]}
            isOpen={openId !== null && studies[index]?.id === openId}
            {...{ index, start, total, maxWait, now, studies, isBlind, onOpen }}
          />
        ))}
      </ol>
    </div>
  );
}

interface RowProps {
  readonly study: StudySummary | undefined;
  readonly index: number;
  /** From the top of the list, in pixels. */
  readonly start: number;
  readonly total: number;
  readonly isOpen: boolean;
  readonly maxWait: number;
  readonly now: Date;
  readonly studies: readonly StudySummary[];
  readonly isBlind: boolean;
  readonly onOpen: (id: string, listed: readonly StudySummary[]) => void;
}

const Row = memo(function Row({ study, index, start, total, ...row }: RowProps) {
  return (
    <li
      className={styles.place}
      style={{ transform: `translateY(${start}px)` }}
      aria-setsize={total}
      aria-posinset={index + 1}
    >
      {study === undefined ? <p className={styles.placeholder}>{t("Loading…")}</p> : <StudyRow study={study} {...row} />}
    </li>
  );
});

function EmptyList({ list }: { readonly list: List }) {
  if (!isFiltering(list.filter)) {
    return <p className={styles.empty}>{t("No studies yet. Analysed studies are listed here.")}</p>;
  }
  return (
    <p className={styles.empty}>
      {t("No study is like that.")}
      <button type="button" className="link" onClick={() => list.setFilter(NO_FILTER)}>
        {t("Show all")}
      </button>
    </p>
  );
}
