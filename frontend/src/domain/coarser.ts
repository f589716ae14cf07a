import type { GreyImage } from "./greyPng";

/** `times` by `times` pixels are one, of their mean; at the right and lower end, those that are there. */
export function coarser(image: GreyImage, times: number): GreyImage {
  if (times <= 1) {
    return image;
  }
  const { width, height, values } = image;
  const columns = Math.ceil(width / times);
  const rows = Math.ceil(height / times);
  const means = new Uint16Array(columns * rows);
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row += 1) {
    const top = row * times;
    const bottom = Math.min(top + times, height);
    sums.fill(0);
    for (let y = top; y < bottom; y += 1) {
      for (let column = 0, at = y * width; column < columns; column += 1) {
        const end = Math.min(at + times, (y + 1) * width);
        let sum = sums[column] ?? 0;
        for (; at < end; at += 1) {
          sum += values[at] ?? 0;
        }
        sums[column] = sum;
      }
    }
    for (let column = 0; column < columns; column += 1) {
      const across = Math.min(times, width - column * times);
      means[row * columns + column] = Math.round((sums[column] ?? 0) / (across * (bottom - top)));
    }
  }
  return { width: columns, height: rows, values: means };
}
