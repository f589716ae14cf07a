import { identityOf, mayOf } from "../domain/access";
import { useMe } from "../state/useMe";
import { NoRole } from "./access/NoRole";
import { SignIn } from "./access/SignIn";
import { App } from "./App";
import { ConnectionBanner } from "./page/ConnectionBanner";

/** The page for whoever may see it, and the way in for everybody else. */
export function Entrance() {
  const presence = useMe();
  switch (presence.phase) {
    case "asking":
      return <ConnectionBanner lost={presence.lost} />;
    case "out":
      return <SignIn signIn={presence.signIn} wasIn={presence.wasIn} />;
    case "in": {
      const { me } = presence;
      // With its key: nothing that one person has seen stays for the next one.
      return mayOf(me).see ? <App key={identityOf(me)} me={me} /> : <NoRole me={me} />;
    }
  }
}
