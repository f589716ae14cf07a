import type { Study } from "../../api/schema";
import { bytes, percent } from "../../domain/format";
import { PRIORITY_NAMES, STATUS_NAMES } from "../../domain/studies";
import type { UploadQueue } from "../../state/uploadQueue";
import { isActive, type Upload } from "../../state/uploads";
import { IconButton } from "../controls";
import { t } from "../../i18n/t";
import styles from "./upload.module.css";

interface UploadItemProps {
  readonly upload: Upload;
  readonly queue: UploadQueue;
  readonly onOpen: (id: string) => void;
  readonly isBlind: boolean;
}

export function UploadItem({ upload, queue, onOpen, isBlind }: UploadItemProps) {
  const { id, file, phase, error, study } = upload;
  const studyId = study?.id ?? error?.studyId ?? null;
  return (
    <li className={styles.item} data-phase={phase} data-file={file.name}>
      <div className={styles.itemTop}>
        <span className={styles.fileName} title={file.name}>
          {file.name}
        </span>
        <span className={styles.muted}>{bytes(file.size)}</span>
        <IconButton
          icon="close"
          label={isActive(upload) ? t("Cancel {0}", file.name) : t("Dismiss {0}", file.name)}
          onClick={() => queue.dismiss(id)}
        />
      </div>
      {isActive(upload) && <Progress upload={upload} />}
      {error !== null && (
        <p className={styles.error} role="alert">
          <strong>{error.title}.</strong> {error.detail}
        </p>
      )}
      <div className={styles.itemFoot}>
        <span>{phaseText(upload, isBlind)}</span>
        {studyId !== null && (
          <button type="button" className="link" onClick={() => onOpen(studyId)}>
            {t("Open the study")}
          </button>
        )}
        {error?.isWorthAgain === true && (
          <button type="button" className="link" onClick={() => queue.retry(id)}>
            {t("Send again")}
          </button>
        )}
      </div>
    </li>
  );
}

function Progress({ upload }: { readonly upload: Upload }) {
  const { phase, sent, file } = upload;
  const known = phase !== "analysing";
  return (
    <div
      className={known ? styles.progress : styles.progressAnalysing}
      role="progressbar"
      aria-label={known ? t("Sending {0}", file.name) : t("Analysing {0}", file.name)}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={known ? Math.round(sent * 100) : undefined}
    >
      <div style={{ width: known ? `${sent * 100}%` : undefined }} />
    </div>
  );
}

function phaseText({ phase, sent, study, known }: Upload, isBlind: boolean): string {
  switch (phase) {
    case "waiting":
      return t("Waiting for its turn");
    case "sending":
      return t("Sending, {0}", percent(sent));
    case "analysing":
      return t("Sent. Being analysed…");
    case "done":
      if (study === null) {
        return t("Analysed");
      }
      return known
        ? t("Known: this very file was in the archive before. {0}", outcomeText(study, isBlind))
        : outcomeText(study, isBlind);
    case "failed":
      return t("Not analysed");
  }
}

function outcomeText({ status, triage }: Study, isBlind: boolean): string {
  const outcome = STATUS_NAMES[status];
  return triage === null || isBlind ? outcome : `${outcome}: ${PRIORITY_NAMES[triage.priority].toLowerCase()}`;
}
