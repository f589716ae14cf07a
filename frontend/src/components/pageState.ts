import type { Dispatch, RefObject } from "react";

import type { ListPanel } from "../state/useListPanel";
import type { Session } from "../state/useSession";
import type { Trust } from "../domain/trust";
import type { Shown, ViewerAction, ViewerState } from "../state/viewer";
import type { ViewCommands } from "./viewer/viewCommands";

/** What a person has opened, closed and agreed to. */
export interface Panels extends ListPanel {
  readonly accepted: boolean;
  readonly setAccepted: (accepted: boolean) => void;
  /** Whether the notice is read again. */
  readonly noticeShown: boolean;
  readonly setNoticeShown: (shown: boolean) => void;
  readonly overlayFirst: boolean;
  readonly onOverlayFirst: (on: boolean) => void;
  readonly shortcutsOn: boolean;
  readonly onShortcutsOn: (on: boolean) => void;
  readonly helpShown: boolean;
  readonly setHelpShown: (shown: boolean) => void;
  readonly allShown: boolean;
  readonly setAllShown: (shown: boolean) => void;
}

/** What the parts of the page share. */
export interface PageState {
  readonly session: Session;
  readonly state: ViewerState;
  readonly shown: Shown;
  readonly trust: Trust;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly panels: Panels;
  readonly commands: RefObject<ViewCommands | null>;
  readonly picker: RefObject<HTMLInputElement | null>;
}
