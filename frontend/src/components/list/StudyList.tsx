import type { StudyList as List } from "../../state/useStudyList";
import { isFiltering, NO_FILTER } from "../../domain/filters";
import { count } from "../../domain/format";
import { Note } from "../controls";
import { Filters } from "./Filters";
import { StudyRow } from "./StudyRow";
import styles from "./list.module.css";

interface StudyListProps {
  readonly list: List;
  readonly openId: string | null;
  readonly onOpen: (id: string) => void;
}

/** Earlier studies, most urgent first, as the gateway's archive holds them. */
export function StudyList({ list, openId, onOpen }: StudyListProps) {
  const now = new Date();
  const remaining = list.total - list.studies.length;
  return (
    <nav className={styles.panel} aria-label="Studies">
      <header className={styles.head}>
        <h2>Studies</h2>
        <span className={styles.muted} role="status">
          {list.phase === "ready" ? count(list.total, "study", "studies") : "Loading…"}
        </span>
      </header>
      <Filters filter={list.filter} onChange={list.setFilter} />
      {list.error !== null && !list.error.isConnectionLoss && (
        <Note tone="error" title={list.error.title}>
          <p>{list.error.detail}</p>
        </Note>
      )}
      {list.phase === "ready" && list.studies.length === 0 && list.error === null && (
        <EmptyList list={list} />
      )}
      <ol className={styles.rows}>
        {list.studies.map((study) => (
          <StudyRow
            key={study.id}
            study={study}
            isOpen={study.id === openId}
            onOpen={onOpen}
            now={now}
          />
        ))}
      </ol>
      {remaining > 0 && (
        <button type="button" className={`button ${styles.more ?? ""}`} onClick={list.loadMore}>
          Show more ({remaining} left)
        </button>
      )}
    </nav>
  );
}

function EmptyList({ list }: { readonly list: List }) {
  if (!isFiltering(list.filter)) {
    return <p className={styles.empty}>No studies yet. Analysed studies are listed here.</p>;
  }
  return (
    <p className={styles.empty}>
      No study is like that.{" "}
      <button type="button" className="link" onClick={() => list.setFilter(NO_FILTER)}>
        Show all
      </button>
    </p>
  );
}
