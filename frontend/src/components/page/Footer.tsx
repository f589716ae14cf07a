import { t } from "../../i18n/t";
import styles from "./page.module.css";

interface FooterProps {
  readonly version: string | null;
  /** Null while nobody is known who could have accepted it. */
  readonly onNotice: (() => void) | null;
}

/** Always in sight. */
export function Footer({ version, onNotice }: FooterProps) {
  return (
    <footer className={styles.footer}>
      <strong>{t("Research use, not a medical device.")}</strong>
      <span className={styles.footerDetail}>{t("Every image needs the eyes of someone qualified.")}</span>
      {onNotice !== null && (
        <button type="button" className="link" onClick={onNotice}>
          {t("Read the notice again")}
        </button>
      )}
      {version !== null && <span className={styles.version}>{t("Version {0}", version)}</span>}
    </footer>
  );
}
