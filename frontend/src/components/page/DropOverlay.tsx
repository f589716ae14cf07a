import { Icon } from "../Icon";
import styles from "./page.module.css";

/** Over the whole window while files are held above it. */
export function DropOverlay() {
  return (
    <div className={styles.dropOverlay}>
      <p>
        <Icon name="upload" size={40} /> Drop to analyse the files
      </p>
    </div>
  );
}
