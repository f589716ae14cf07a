/** Decodes a file's own greys beside the page, which stays quick meanwhile. */

import { decodeGreyPng } from "../domain/greyPng";

self.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
  decodeGreyPng(data).then(
    (image) => {
      const counts = new Uint32Array(1 << 16);
      // Every seventh pixel is enough for a histogram.
      for (let at = 0; at < image.values.length; at += 7) {
        const value = image.values[at] ?? 0;
        counts[value] = (counts[value] ?? 0) + 1;
      }
      self.postMessage({ ...image, counts }, { transfer: [image.values.buffer, counts.buffer] });
    },
    () => self.postMessage(null),
  );
};
