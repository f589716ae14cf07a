import type { Study, Timings, UsedRescoring, UsedModel } from "../../api/schema";
import { milliseconds } from "../../domain/format";
import { roleName } from "../../domain/studies";
import styles from "./result.module.css";

/** Which models ran, and how long each step took. */
export function Provenance({ study }: { readonly study: Study }) {
  return (
    <details className={styles.details}>
      <summary>Models and timings</summary>
      {study.models.length === 0 ? (
        <p className={styles.muted}>No model took part.</p>
      ) : (
        <ul className={styles.models}>
          {study.models.map((model) => (
            <Model key={model.role} model={model} />
          ))}
          {study.rescoring !== null && <Rescoring rescoring={study.rescoring} />}
        </ul>
      )}
      <TimingTable timings={study.timings_ms} />
      <p className={styles.fingerprint}>
        Study {study.id}
        <br />
        File sha256 <code>{study.content_sha256}</code>
      </p>
    </details>
  );
}

function Model({ model }: { readonly model: UsedModel }) {
  return (
    <li>
      <span className={styles.muted}>{roleName(model.role)}</span>
      <span>
        {model.name} <strong>{model.version}</strong>
      </span>
      <code title={`sha256 of the weights: ${model.sha256}`}>{model.sha256.slice(0, 12)}</code>
    </li>
  );
}

function Rescoring({ rescoring }: { readonly rescoring: UsedRescoring }) {
  return (
    <li>
      <span className={styles.muted}>Rescored by</span>
      <span>{rescoring.name}</span>
      <code title={`sha256 of its manifest: ${rescoring.sha256}`}>{rescoring.sha256.slice(0, 12)}</code>
    </li>
  );
}

const STEPS: readonly { readonly key: keyof Timings; readonly label: string }[] = [
  { key: "decode", label: "Decoding" },
  { key: "ood", label: "Image check" },
  { key: "classifier", label: "Classifier" },
  { key: "detector", label: "Detector, at the same time" },
  { key: "archive", label: "Archive" },
  { key: "total", label: "Total" },
];

function TimingTable({ timings }: { readonly timings: Timings }) {
  return (
    <table className={styles.table}>
      <caption className="visually-hidden">Time spent on each step</caption>
      <tbody>
        {STEPS.map(({ key, label }) => {
          const ms = timings[key];
          return (
            <tr key={key} className={key === "total" ? styles.totalRow : undefined}>
              <th scope="row">{label}</th>
              <td>{ms === null ? "did not take place" : milliseconds(ms)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
