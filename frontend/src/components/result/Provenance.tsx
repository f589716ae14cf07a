import type { Study, Timings, UsedRescoring, UsedModel } from "../../api/schema";
import { milliseconds } from "../../domain/format";
import { roleName } from "../../domain/studies";
import { t } from "../../i18n/t";
import styles from "./result.module.css";

/** Which models ran, and how long each step took. */
export function Provenance(props: {
  readonly study: Study;
  /** Of the weights, by their sha256, where the model is active still. */
  readonly licences: ReadonlyMap<string, string>;
}) {
  const { study, licences } = props;
  return (
    <details className={styles.details}>
      <summary>{t("Models and timings")}</summary>
      {study.models.length === 0 ? (
        <p className={styles.muted}>{t("No model took part.")}</p>
      ) : (
        <ul className={styles.models}>
          {study.models.map((model) => (
            <Model key={model.role} model={model} licence={licences.get(model.sha256) ?? null} />
          ))}
          {study.rescoring !== null && <Rescoring rescoring={study.rescoring} />}
        </ul>
      )}
      <TimingTable timings={study.timings_ms} />
      <p className={styles.fingerprint}>
        {t("Study {0}", study.id)}
        <br />
        {t("File sha256")}{" "}<code>{study.content_sha256}</code>
      </p>
    </details>
  );
}

function Model({ model, licence }: { readonly model: UsedModel; readonly licence: string | null }) {
  return (
    <li>
      <span className={styles.muted}>{roleName(model.role)}</span>
      <span>
        {model.name} <strong>{model.version}</strong>
        {licence !== null && <span className={styles.muted}> {licence}</span>}
      </span>
      <code title={t("sha256 of the weights: {0}", model.sha256)}>{model.sha256.slice(0, 12)}</code>
    </li>
  );
}

function Rescoring({ rescoring }: { readonly rescoring: UsedRescoring }) {
  return (
    <li>
      <span className={styles.muted}>{t("Rescored by")}</span>
      <span>{rescoring.name}</span>
      <code title={t("sha256 of its manifest: {0}", rescoring.sha256)}>{rescoring.sha256.slice(0, 12)}</code>
    </li>
  );
}

const STEPS: readonly { readonly key: keyof Timings; readonly label: string }[] = [
  { key: "decode", label: t("Decoding") },
  { key: "ood", label: t("Image check") },
  { key: "classifier", label: t("Classifier") },
  { key: "detector", label: t("Detector, at the same time") },
  { key: "archive", label: t("Archive") },
  { key: "total", label: t("Total") },
];

function TimingTable({ timings }: { readonly timings: Timings }) {
  return (
    <table className={styles.table}>
      <caption className="visually-hidden">{t("Time spent on each step")}</caption>
      <tbody>
        {STEPS.map(({ key, label }) => {
          const ms = timings[key];
          return (
            <tr key={key} className={key === "total" ? styles.totalRow : undefined}>
              <th scope="row">{label}</th>
              <td>{ms === null ? t("did not take place") : milliseconds(ms)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
