import { useState } from "react";

import type { FindingProbability } from "../../api/schema";
import { displayName, percent, thresholdPercent } from "../../domain/format";
import { FINDING_ORDERS, type FindingOrder, sortFindings } from "../../domain/findings";
import { FindingBar, LevelChip } from "./FindingBar";
import { MapButton, type MapProps } from "./MapButton";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

interface AllFindingsProps extends MapProps {
  readonly open: boolean;
  readonly onToggle: () => void;
}

/** All that the classifier looks for, on demand. */
export function AllFindings(props: AllFindingsProps) {
  const { study, open, onToggle } = props;
  const { findings } = study;
  const [order, setOrder] = useState<FindingOrder>("level");
  return (
    <section className={styles.section} aria-label={t("All findings")}>
      <button
        type="button"
        className={styles.disclosure}
        aria-expanded={open}
        aria-controls="all-findings"
        aria-keyshortcuts="a"
        onClick={onToggle}
      >
        <span aria-hidden="true">{open ? "▾" : "▸"}</span>{" "}{t("All {0} findings", findings.length)}
      </button>
      <div id="all-findings" hidden={!open}>
        <OrderChoice order={order} onChange={setOrder} />
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">{t("Finding")}</th>
              <th scope="col" className={styles.barColumn}>
                <span className="visually-hidden">{t("Bar")}</span>
              </th>
              <th scope="col">{t("Probability")}</th>
              <th scope="col">
                <span className="visually-hidden">{t("Map")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {sortFindings(findings, order).map((finding) => (
              <FindingRow key={finding.finding} {...props} finding={finding} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function FindingRow(props: MapProps & { readonly finding: FindingProbability }) {
  const { finding } = props;
  return (
    <tr data-finding={finding.finding}>
      <th scope="row">
        {displayName(finding.finding)}
        <LevelChip level={finding.level} />
      </th>
      <td className={styles.barColumn}>
        <FindingBar finding={finding} />
        <span className={styles.points}>
          {thresholdPercent(finding.possible_threshold)} · {thresholdPercent(finding.likely_threshold)}
        </span>
      </td>
      <td>{percent(finding.probability)}</td>
      <td>
        <MapButton {...props} finding={finding.finding} />
      </td>
    </tr>
  );
}

interface OrderChoiceProps {
  readonly order: FindingOrder;
  readonly onChange: (order: FindingOrder) => void;
}

function OrderChoice({ order, onChange }: OrderChoiceProps) {
  return (
    <label className="field">
      <span className="field-label">{t("Order")}</span>
      <select
        value={order}
        onChange={({ currentTarget }) => {
          const chosen = FINDING_ORDERS.find(({ value }) => value === currentTarget.value);
          onChange(chosen?.value ?? "level");
        }}
      >
        {FINDING_ORDERS.map(({ value, label }) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}
