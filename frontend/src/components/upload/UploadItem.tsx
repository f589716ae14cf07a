import type { Study } from "../../api/schema";
import { bytes, percent } from "../../domain/format";
import { PRIORITY_NAMES, STATUS_NAMES } from "../../domain/studies";
import type { UploadQueue } from "../../state/uploadQueue";
import { isActive, type Upload } from "../../state/uploads";
import { IconButton } from "../controls";
import styles from "./upload.module.css";

interface UploadItemProps {
  readonly upload: Upload;
  readonly queue: UploadQueue;
  readonly onOpen: (id: string) => void;
}

export function UploadItem({ upload, queue, onOpen }: UploadItemProps) {
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
          label={isActive(upload) ? `Cancel ${file.name}` : `Dismiss ${file.name}`}
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
        <span>{phaseText(upload)}</span>
        {studyId !== null && (
          <button type="button" className="link" onClick={() => onOpen(studyId)}>
            Open the study
          </button>
        )}
        {phase === "failed" && (
          <button type="button" className="link" onClick={() => queue.retry(id)}>
            Send again
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
      aria-label={known ? `Sending ${file.name}` : `Analysing ${file.name}`}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={known ? Math.round(sent * 100) : undefined}
    >
      <div style={{ width: known ? `${sent * 100}%` : undefined }} />
    </div>
  );
}

function phaseText({ phase, sent, study }: Upload): string {
  switch (phase) {
    case "waiting":
      return "Waiting for its turn";
    case "sending":
      return `Sending, ${percent(sent)}`;
    case "analysing":
      return "Sent. Being analysed…";
    case "done":
      return study === null ? "Analysed" : outcomeText(study);
    case "failed":
      return "Not analysed";
  }
}

function outcomeText({ status, triage }: Study): string {
  const outcome = STATUS_NAMES[status];
  return triage === null ? outcome : `${outcome}: ${PRIORITY_NAMES[triage.priority].toLowerCase()}`;
}
