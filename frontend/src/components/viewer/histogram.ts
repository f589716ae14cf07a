/** Enough for a histogram, and quick. */
const SIDE_PX = 256;

/** How many pixels of an image have each grey, 0 to 255; rejects if it cannot be loaded. */
export async function histogramOf(src: string): Promise<number[]> {
  const image = new Image();
  image.src = src;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = SIDE_PX;
  canvas.height = SIDE_PX;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const counts = new Array<number>(256).fill(0);
  if (context === null) {
    return counts;
  }
  context.drawImage(image, 0, 0, SIDE_PX, SIDE_PX);
  const { data } = context.getImageData(0, 0, SIDE_PX, SIDE_PX);
  for (let i = 0; i < data.length; i += 4) {
    const grey = data[i] ?? 0;
    counts[grey] = (counts[grey] ?? 0) + 1;
  }
  return counts;
}
