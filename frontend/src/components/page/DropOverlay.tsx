import { Icon } from "../Icon";
import { t } from "../../i18n/t";
import styles from "./page.module.css";

/** Over the whole window while files are held above it. */
export function DropOverlay() {
  return (
    <div className={styles.dropOverlay}>
      <p>
        <Icon name="upload" size={40} />{" "}{t("Drop to analyse the files")}
      </p>
    </div>
  );
}
