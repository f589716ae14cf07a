import { useId } from "react";

import type { Me } from "../../api/schema";
import { SignOutButton } from "./SignOutButton";
import { t } from "../../i18n/t";
import styles from "./access.module.css";

/** Who is signed in, in which role and department, and the way out; nothing on an open machine. */
export function UserMenu({ me }: { readonly me: Me }) {
  const id = useId();
  if (me.kind === "local") {
    return null;
  }
  return (
    <>
      <button type="button" className="button" popoverTarget={id}>
        {me.name}
      </button>
      <section id={id} popover="auto" className={styles.menu} aria-label={t("Account")}>
        <dl>
          <dt>{t("Role")}</dt>
          <dd>{me.roles.join(", ")}</dd>
          <dt>{t("Department")}</dt>
          <dd>{me.department ?? t("all")}</dd>
        </dl>
        {me.can_sign_out && <SignOutButton />}
      </section>
    </>
  );
}
