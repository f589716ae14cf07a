/** The files of a drop, folders included: a study often comes as a folder of DICOM files. */
export async function filesOf(transfer: DataTransfer): Promise<File[]> {
  // Entries must be taken before the first await: the browser empties the transfer after it.
  const entries = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry());
  const plain = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) {
    return plain;
  }
  const files = await Promise.all(entries.map((entry) => (entry ? filesUnder(entry) : none())));
  return files.flat();
}

/** Whether a drag carries files, and not a piece of text or of this page. */
export function carriesFiles(transfer: DataTransfer | null): transfer is DataTransfer {
  return transfer?.types.includes("Files") ?? false;
}

const none = (): Promise<File[]> => Promise.resolve([]);

async function filesUnder(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    return [await fileOf(entry as FileSystemFileEntry)];
  }
  const children = await childrenOf((entry as FileSystemDirectoryEntry).createReader());
  const visible = children.filter(({ name }) => !name.startsWith("."));
  return (await Promise.all(visible.map(filesUnder))).flat();
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

/** A reader hands out at most a hundred entries at a time, and an empty list at the end. */
async function childrenOf(reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) {
      return all;
    }
    all.push(...some);
  }
}
