/**
 * A grey PNG of 16 bits (ISO/IEC 15948) to its values: a browser's own decoder keeps 8 of them.
 *
 * Only what the gateway writes is read: 16-bit grey, not interlaced.
 */

export interface GreyImage {
  readonly width: number;
  readonly height: number;
  /** Row by row, the top one first. */
  readonly values: Uint16Array<ArrayBuffer>;
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const BYTES_PER_PIXEL = 2;

/** Rejects with an Error that says what is wrong with the file. */
export async function decodeGreyPng(file: ArrayBuffer): Promise<GreyImage> {
  const { width, height, data } = chunksOf(file);
  const inflated = new Response(new Blob(data).stream().pipeThrough(new DecompressionStream("deflate")));
  const filtered = new Uint8Array(await inflated.arrayBuffer());
  const stride = width * BYTES_PER_PIXEL;
  if (filtered.length < height * (stride + 1)) {
    throw new Error("The PNG has fewer pixels than it says.");
  }
  const values = new Uint16Array(width * height);
  let before = new Uint8Array(stride);
  for (let y = 0; y < height; y += 1) {
    const start = y * (stride + 1);
    const row = filtered.subarray(start + 1, start + 1 + stride);
    unfilter(filtered[start] ?? 0, row, before);
    for (let x = 0; x < width; x += 1) {
      values[y * width + x] = ((row[2 * x] ?? 0) << 8) | (row[2 * x + 1] ?? 0);
    }
    before = row;
  }
  return { width, height, values };
}

function chunksOf(file: ArrayBuffer): { width: number; height: number; data: BlobPart[] } {
  const view = new DataView(file);
  if (file.byteLength < 33 || SIGNATURE.some((byte, at) => view.getUint8(at) !== byte)) {
    throw new Error("This is no PNG.");
  }
  const [depth, colour, interlaced] = [view.getUint8(24), view.getUint8(25), view.getUint8(28)];
  if (depth !== 16 || colour !== 0 || interlaced !== 0) {
    throw new Error("The PNG is no 16-bit grey image.");
  }
  const data: BlobPart[] = [];
  for (let at = 8; at + 12 <= file.byteLength; ) {
    const length = view.getUint32(at);
    if (view.getUint32(at + 4) === 0x49444154) {
      data.push(new Uint8Array(file, at + 8, Math.min(length, file.byteLength - at - 8)));
    }
    at += 12 + length;
  }
  return { width: view.getUint32(16), height: view.getUint32(20), data };
}

/** Takes the row's filter (section 9) off, in place. */
function unfilter(kind: number, row: Uint8Array, above: Uint8Array): void {
  const n = row.length;
  switch (kind) {
    case 0:
      return;
    case 1:
      for (let i = BYTES_PER_PIXEL; i < n; i += 1) {
        row[i] = (row[i] ?? 0) + (row[i - BYTES_PER_PIXEL] ?? 0);
      }
      return;
    case 2:
      for (let i = 0; i < n; i += 1) {
        row[i] = (row[i] ?? 0) + (above[i] ?? 0);
      }
      return;
    case 3:
      for (let i = 0; i < n; i += 1) {
        row[i] = (row[i] ?? 0) + (((row[i - BYTES_PER_PIXEL] ?? 0) + (above[i] ?? 0)) >> 1);
      }
      return;
    case 4:
      for (let i = 0; i < n; i += 1) {
        const corner = above[i - BYTES_PER_PIXEL] ?? 0;
        row[i] = (row[i] ?? 0) + paeth(row[i - BYTES_PER_PIXEL] ?? 0, above[i] ?? 0, corner);
      }
      return;
    default:
      throw new Error(`The PNG has a filter of an unknown kind, ${kind}.`);
  }
}

function paeth(left: number, above: number, corner: number): number {
  const toLeft = Math.abs(above - corner);
  const toAbove = Math.abs(left - corner);
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) {
    return left;
  }
  return toAbove <= toCorner ? above : corner;
}
