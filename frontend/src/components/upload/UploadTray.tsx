import type { UploadQueue } from "../../state/uploadQueue";
import { isActive, type Upload } from "../../state/uploads";
import { count } from "../../domain/format";
import { UploadItem } from "./UploadItem";
import styles from "./upload.module.css";

interface UploadTrayProps {
  readonly uploads: readonly Upload[];
  readonly queue: UploadQueue;
  readonly onOpen: (id: string) => void;
}

/** The files on their way, each with how far it is. */
export function UploadTray({ uploads, queue, onOpen }: UploadTrayProps) {
  if (uploads.length === 0) {
    return null;
  }
  const active = uploads.filter(isActive).length;
  return (
    <section className={styles.tray} aria-label="Uploads">
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
          Clear
        </button>
      </header>
      <ul className={styles.items}>
        {uploads.map((upload) => (
          <UploadItem key={upload.id} upload={upload} queue={queue} onOpen={onOpen} />
        ))}
      </ul>
    </section>
  );
}

function trayTitle(uploads: readonly Upload[], active: number): string {
  if (active > 0) {
    return `Analysing ${active} of ${count(uploads.length, "file")}`;
  }
  const failed = uploads.filter(({ phase }) => phase === "failed").length;
  const analysed = `${count(uploads.length - failed, "file")} analysed`;
  return failed > 0 ? `${analysed}, ${failed} not analysed` : analysed;
}
