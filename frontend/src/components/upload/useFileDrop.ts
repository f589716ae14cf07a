import { useEffect, useEffectEvent, useState } from "react";

import { carriesFiles, filesOf } from "../../domain/droppedFiles";

/** Takes files dropped anywhere in the window; true while some are held over it. */
export function useFileDrop(enabled: boolean, onFiles: (files: readonly File[]) => void): boolean {
  const [held, setHeld] = useState(false);
  const take = useEffectEvent((transfer: DataTransfer) => {
    if (enabled) {
      void filesOf(transfer).then(onFiles);
    }
  });
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const over = (event: DragEvent): void => {
      if (carriesFiles(event.dataTransfer)) {
        event.preventDefault();
        setHeld(true);
      }
    };
    const leave = (event: DragEvent): void => {
      // Leaving one element for another inside the window has a related target.
      if (event.relatedTarget === null) {
        setHeld(false);
      }
    };
    const drop = (event: DragEvent): void => {
      setHeld(false);
      if (carriesFiles(event.dataTransfer)) {
        event.preventDefault();
        take(event.dataTransfer);
      }
    };
    window.addEventListener("dragenter", over, { signal });
    window.addEventListener("dragover", over, { signal });
    window.addEventListener("dragleave", leave, { signal });
    window.addEventListener("drop", drop, { signal });
    return () => controller.abort();
  }, []);
  return held && enabled;
}
