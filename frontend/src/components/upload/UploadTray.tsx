import type { UploadQueue } from "../../state/uploadQueue";
import { isActive, type Upload } from "../../state/uploads";
import { count } from "../../domain/format";
import { UploadItem } from "./UploadItem";
import { t } from "../../i18n/t";
import styles from "./upload.module.css";

interface UploadTrayProps {
  readonly uploads: readonly Upload[];
  readonly queue: UploadQueue;
  readonly onOpen: (id: string) => void;
  /** Whether what the models say is hidden until a first opinion is given. */
  readonly isBlind: boolean;
}

/** The files on their way, each with how far it is. */
export function UploadTray({ uploads, queue, onOpen, isBlind }: UploadTrayProps) {
  if (uploads.length === 0) {
    return null;
  }
  const active = uploads.filter(isActive).length;
  return (
    <section className={styles.tray} aria-label={t("Uploads")}>
      <header className={styles.trayHead}>
        <h2>
          <span role="status">{trayTitle(uploads, active)}</span>
        </h2>
        <button
          type="button"
          className="button button-quiet"
          disabled={active === uploads.length}
          onClick={() => queue.clearSettled()}
        >
          {t("Clear")}
        </button>
      </header>
      <ul className={styles.items}>
        {uploads.map((upload) => (
          <UploadItem key={upload.id} upload={upload} {...{ queue, onOpen, isBlind }} />
        ))}
      </ul>
    </section>
  );
}

function trayTitle(uploads: readonly Upload[], active: number): string {
  if (active > 0) {
    return t("Analysing {0} of {1}", active, count(uploads.length, "file"));
  }
  const failed = uploads.filter(({ phase }) => phase === "failed").length;
  const analysed = t("{0} analysed", count(uploads.length - failed, "file"));
  return failed > 0 ? t("{0}, {1} not analysed", analysed, failed) : analysed;
}
