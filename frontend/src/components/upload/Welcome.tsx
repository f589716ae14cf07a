import type { SystemStatus } from "../../api/schema";
import { bytes } from "../../domain/format";
import { Icon } from "../Icon";
import { Examples } from "./Examples";
import { t } from "../../i18n/t";
import styles from "./upload.module.css";

interface WelcomeProps {
  readonly system: SystemStatus | null;
  /** Null for whoever may not send any. */
  readonly onChooseFiles: (() => void) | null;
  readonly onFile: (file: File) => void;
}

/** What is shown while no study is open. */
export function Welcome({ system, onChooseFiles, onFile }: WelcomeProps) {
  if (onChooseFiles === null) {
    return (
      <section className={styles.welcome} aria-label={t("Start")}>
        <p className={styles.welcomeTitle}>{t("Choose a study from the list")}</p>
      </section>
    );
  }
  return (
    <section className={styles.welcome} aria-label={t("Analyse a radiograph")}>
      <button type="button" className={styles.dropTarget} onClick={onChooseFiles}>
        <Icon name="upload" size={44} />
        <span className={styles.welcomeTitle}>{t("Drop chest radiographs here")}</span>
        <span className={styles.muted}>{t("or choose files, one or many")}</span>
        <span className={styles.kinds}>
          {t("PNG · JPEG · DICOM")}
          {system !== null && <>{" "}{t("· up to {0} each", bytes(system.max_upload_bytes))}</>}
        </span>
      </button>
      <p className={styles.muted}>
        {t("Frontal views (PA or AP). The three most likely findings, suspicious regions and a priority come back in about a second.")}
      </p>
      <Examples onFile={onFile} />
    </section>
  );
}
