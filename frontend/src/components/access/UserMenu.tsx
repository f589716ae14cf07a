import { useId } from "react";

import type { Me } from "../../api/schema";
import { SignOutButton } from "./SignOutButton";
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
      <section id={id} popover="auto" className={styles.menu} aria-label="Account">
        <dl>
          <dt>Role</dt>
          <dd>{me.roles.join(", ")}</dd>
          <dt>Department</dt>
          <dd>{me.department ?? "all"}</dd>
        </dl>
        {me.can_sign_out && <SignOutButton />}
      </section>
    </>
  );
}
