// @vitest-environment node
import { describe, expect, it } from "vitest";

import { decodeGreyPng } from "./greyPng";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Without its checksum, which browsers' readers need and this one leaves to the connection. */
function chunk(name: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(data.length + 12);
  new DataView(out.buffer).setUint32(0, data.length);
  out.set(new TextEncoder().encode(name), 4);
  out.set(data, 8);
  return out;
}

async function deflated(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const packed = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}

/** Filters as section 9 of the standard says it, written from the other side. */
function filtered(values: readonly number[], width: number, kinds: readonly number[]): Uint8Array<ArrayBuffer> {
  const raw = values.flatMap((value) => [value >> 8, value & 255]);
  const stride = 2 * width;
  const out: number[] = [];
  kinds.forEach((kind, y) => {
    out.push(kind);
    for (let i = 0; i < stride; i += 1) {
      const at = y * stride + i;
      const left = i >= 2 ? (raw[at - 2] ?? 0) : 0;
      const up = y > 0 ? (raw[at - stride] ?? 0) : 0;
      const corner = i >= 2 && y > 0 ? (raw[at - stride - 2] ?? 0) : 0;
      const p = left + up - corner;
      const nearest = [left, up, corner].reduce((best, x) => (Math.abs(p - x) < Math.abs(p - best) ? x : best));
      const predicted = [0, left, up, (left + up) >> 1, nearest][kind] ?? 0;
      out.push(((raw[at] ?? 0) - predicted + 256) & 255);
    }
  });
  return Uint8Array.from(out);
}

async function png(
  values: readonly number[],
  width: number,
  kinds: readonly number[],
  depth = 16,
): Promise<ArrayBuffer> {
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, kinds.length);
  header.set([depth, 0, 0, 0, 0], 8);
  const packed = await deflated(filtered(values, width, kinds));
  const parts = [
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", header),
    // In two pieces, as a writer may do it.
    chunk("IDAT", packed.subarray(0, 7)),
    chunk("IDAT", packed.subarray(7)),
    chunk("IEND", new Uint8Array()),
  ];
  return Uint8Array.from(parts.flatMap((part) => [...part])).buffer;
}

const VALUES = Array.from({ length: 5 * 5 }, (_, i) => (i * 7919 + i * i * 131) % 65536);

describe("a grey PNG of 16 bits", () => {
  it.each([0, 1, 2, 3, 4])("comes whole through filter %i", async (kind) => {
    const image = await decodeGreyPng(await png(VALUES, 5, Array.from({ length: 5 }, () => kind)));
    expect([image.width, image.height]).toEqual([5, 5]);
    expect([...image.values]).toEqual(VALUES);
  });

  it("comes whole through a filter of its own for each row", async () => {
    expect([...(await decodeGreyPng(await png(VALUES, 5, [4, 3, 2, 1, 0]))).values]).toEqual(VALUES);
  });

  it("of another kind, or cut short, is refused", async () => {
    await expect(decodeGreyPng(await png(VALUES, 5, [0, 0, 0, 0, 0], 8))).rejects.toThrow("no 16-bit grey");
    await expect(decodeGreyPng(new ArrayBuffer(50))).rejects.toThrow("no PNG");
    const whole = await png(VALUES, 5, [0, 0, 0, 0, 0]);
    new DataView(whole).setUint32(20, 6);
    await expect(decodeGreyPng(whole)).rejects.toThrow("fewer pixels");
  });
});
