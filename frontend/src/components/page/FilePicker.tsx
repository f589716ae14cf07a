import type { Ref } from "react";
import { t } from "../../i18n/t";

interface FilePickerProps {
  readonly ref: Ref<HTMLInputElement>;
  readonly onFiles: (files: readonly File[]) => void;
}

/**
 * The browser's own file dialog, opened by the buttons and by the keyboard.
 *
 * It does not filter by kind: DICOM files often have no extension, and the gateway looks at
 * the content anyway.
 */
export function FilePicker({ ref, onFiles }: FilePickerProps) {
  return (
    <input
      ref={ref}
      type="file"
      multiple
      hidden
      aria-label={t("Radiographs to analyse")}
      onChange={({ currentTarget }) => {
        onFiles([...(currentTarget.files ?? [])]);
        // So that the same file can be chosen once more.
        currentTarget.value = "";
      }}
    />
  );
}
