import { useEffect, useEffectEvent } from "react";

import { type Command, commandOf } from "./shortcuts";

/** Listens to single keys while nobody is typing and no dialog is open. */
export function useShortcuts(enabled: boolean, run: (command: Command) => void): void {
  const onKeyDown = useEffectEvent((event: KeyboardEvent) => {
    const command = commandOf(event);
    if (!enabled || command === null || event.defaultPrevented || isElsewhere(event.target)) {
      return;
    }
    event.preventDefault();
    run(command);
  });
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => onKeyDown(event);
    window.addEventListener("keydown", listener);
    return () => window.removeEventListener("keydown", listener);
  }, []);
}

function isElsewhere(target: EventTarget | null): boolean {
  if (document.querySelector("dialog[open]") !== null) {
    return true;
  }
  // A slider or a checkbox takes no letters, so those stay ours.
  const typing = "input:not([type=range], [type=checkbox], [type=radio]), select, textarea";
  return target instanceof Element && target.closest(typing) !== null;
}
