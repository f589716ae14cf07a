import type { ReactNode } from "react";

import { Footer } from "../page/Footer";
import { t } from "../../i18n/t";
import styles from "./access.module.css";

interface OutsideProps {
  readonly title: string;
  readonly children: ReactNode;
}

/** The page's frame without anything of a patient in it. */
export function Outside({ title, children }: OutsideProps) {
  return (
    <div className={styles.outside}>
      <main className={styles.card}>
        <p className={styles.brand}>
          <img src="/favicon.svg" alt="" width={28} height={28} />{" "}{t("Open chest X-ray reader")}
        </p>
        <h1>{title}</h1>
        {children}
      </main>
      <Footer version={null} onNotice={null} />
    </div>
  );
}
