import { type StudyFilter, withPriority, withStatus } from "../../domain/filters";
import { PRIORITIES, PRIORITY_NAMES, STATUS_NAMES, STATUSES } from "../../domain/studies";
import styles from "./list.module.css";

interface FiltersProps {
  readonly filter: StudyFilter;
  readonly onChange: (filter: StudyFilter) => void;
}

export function Filters({ filter, onChange }: FiltersProps) {
  return (
    <div className={styles.filters} role="group" aria-label="Which studies">
      <label className="field">
        <span className="field-label">Priority</span>
        <select
          value={filter.priority ?? ""}
          onChange={({ currentTarget: { value } }) =>
            onChange(withPriority(filter, PRIORITIES.find((priority) => priority === value) ?? null))
          }
        >
          <option value="">All</option>
          {PRIORITIES.map((priority) => (
            <option key={priority} value={priority}>
              {PRIORITY_NAMES[priority]}
            </option>
          ))}
        </select>
      </label>
      <label className="field">
        <span className="field-label">Status</span>
        <select
          value={filter.status ?? ""}
          onChange={({ currentTarget: { value } }) =>
            onChange(withStatus(filter, STATUSES.find((status) => status === value) ?? null))
          }
        >
          <option value="">All</option>
          {STATUSES.map((status) => (
            <option key={status} value={status}>
              {STATUS_NAMES[status]}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
