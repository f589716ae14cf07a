import { type StudyFilter, withPriority, withStatus } from "../../domain/filters";
import {
  PRIORITIES,
  PRIORITY_NAMES,
  STATUS_NAMES,
  STATUSES,
  WORKLIST_NAMES,
  WORKLIST_STATES,
} from "../../domain/studies";
import { t } from "../../i18n/t";
import styles from "./list.module.css";

interface FiltersProps {
  readonly filter: StudyFilter;
  readonly onChange: (filter: StudyFilter) => void;
}

export function Filters({ filter, onChange }: FiltersProps) {
  return (
    <search className={styles.filters} aria-label={t("Which studies")}>
      <input
        id="study-search"
        type="search"
        className={styles.search}
        value={filter.text}
        placeholder={t("Name, ID, date, finding")}
        aria-label={t("Search studies")}
        aria-keyshortcuts="/"
        maxLength={200}
        onChange={({ currentTarget }) => onChange({ ...filter, text: currentTarget.value })}
      />
      <Choice
        label={t("Priority")}
        value={filter.priority}
        values={PRIORITIES}
        names={PRIORITY_NAMES}
        onChange={(priority) => onChange(withPriority(filter, priority))}
      />
      <Choice
        label={t("Status")}
        value={filter.status}
        values={STATUSES}
        names={STATUS_NAMES}
        onChange={(status) => onChange(withStatus(filter, status))}
      />
      <Choice
        label={t("State")}
        value={filter.work}
        values={WORKLIST_STATES}
        names={WORKLIST_NAMES}
        onChange={(work) => onChange({ ...filter, work })}
      />
    </search>
  );
}

interface ChoiceProps<Value extends string> {
  readonly label: string;
  readonly value: Value | null;
  readonly values: readonly Value[];
  readonly names: Record<Value, string>;
  readonly onChange: (value: Value | null) => void;
}

function Choice<Value extends string>({ label, value, values, names, onChange }: ChoiceProps<Value>) {
  return (
    <label className={styles.choice}>
      <span className="field-label">{label}</span>
      <select
        value={value ?? ""}
        onChange={({ currentTarget }) =>
          onChange(values.find((candidate) => candidate === currentTarget.value) ?? null)
        }
      >
        <option value="">{t("All")}</option>
        {values.map((candidate) => (
          <option key={candidate} value={candidate}>
            {names[candidate]}
          </option>
        ))}
      </select>
    </label>
  );
}
