import styles from "./page.module.css";

/** Always in sight. */
export function Footer({ version }: { readonly version: string | null }) {
  return (
    <footer className={styles.footer}>
      <strong>Research use, not a medical device.</strong>
      <span className={styles.footerDetail}>Every image needs the eyes of someone qualified.</span>
      {version !== null && <span className={styles.version}>Version {version}</span>}
    </footer>
  );
}
