import type { SystemStatus } from "../../api/schema";
import { bytes } from "../../domain/format";
import { Icon } from "../Icon";
import { Examples } from "./Examples";
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
      <section className={styles.welcome} aria-label="Start">
        <p className={styles.welcomeTitle}>Choose a study from the list</p>
      </section>
    );
  }
  return (
    <section className={styles.welcome} aria-label="Analyse a radiograph">
      <button type="button" className={styles.dropTarget} onClick={onChooseFiles}>
        <Icon name="upload" size={44} />
        <span className={styles.welcomeTitle}>Drop chest radiographs here</span>
        <span className={styles.muted}>or choose files, one or many</span>
        <span className={styles.kinds}>
          PNG · JPEG · DICOM
          {system !== null && <> · up to {bytes(system.max_upload_bytes)} each</>}
        </span>
      </button>
      <p className={styles.muted}>
        Frontal views (PA or AP). The three most likely findings, suspicious regions and a priority
        come back in about a second.
      </p>
      <Examples onFile={onFile} />
    </section>
  );
}
