import { useState } from "react";

import type { FindingProbability } from "../../api/schema";
import { displayName, percent, thresholdPercent } from "../../domain/format";
import { FINDING_ORDERS, type FindingOrder, sortFindings } from "../../domain/findings";
import { FindingBar, Verdict } from "./FindingBar";
import styles from "./result.module.css";

interface AllFindingsProps {
  readonly findings: readonly FindingProbability[];
  readonly open: boolean;
  readonly onToggle: () => void;
}

/** All fourteen, on demand. */
export function AllFindings({ findings, open, onToggle }: AllFindingsProps) {
  const [order, setOrder] = useState<FindingOrder>("probability");
  return (
    <section className={styles.section} aria-label="All findings">
      <button
        type="button"
        className={styles.disclosure}
        aria-expanded={open}
        aria-controls="all-findings"
        aria-keyshortcuts="a"
        onClick={onToggle}
      >
        <span aria-hidden="true">{open ? "▾" : "▸"}</span> All {findings.length} findings
      </button>
      <div id="all-findings" hidden={!open}>
        <OrderChoice order={order} onChange={setOrder} />
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">Finding</th>
              <th scope="col" className={styles.barColumn}>
                <span className="visually-hidden">Bar</span>
              </th>
              <th scope="col">Probability</th>
              <th scope="col">Threshold</th>
            </tr>
          </thead>
          <tbody>
            {sortFindings(findings, order).map((finding) => (
              <FindingRow key={finding.finding} finding={finding} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function FindingRow({ finding }: { readonly finding: FindingProbability }) {
  return (
    <tr data-finding={finding.finding}>
      <th scope="row">
        {displayName(finding.finding)}
        <Verdict positive={finding.positive} />
      </th>
      <td className={styles.barColumn}>
        <FindingBar finding={finding} />
      </td>
      <td>{percent(finding.probability)}</td>
      <td className={styles.muted}>{thresholdPercent(finding.threshold)}</td>
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
      <span className="field-label">Order</span>
      <select
        value={order}
        onChange={({ currentTarget }) => {
          const chosen = FINDING_ORDERS.find(({ value }) => value === currentTarget.value);
          onChange(chosen?.value ?? "probability");
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
