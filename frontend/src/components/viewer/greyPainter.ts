/** Draws stored greys between two levels: by WebGL2, or pixel by pixel where there is none. */

import type { GreyImage } from "../../domain/greyPng";

export interface GreyPainter {
  readonly kind: "webgl2" | "2d";
  /** `black` and `white` are stored values; exchanged, the image is inverted. */
  readonly paint: (black: number, white: number) => void;
  readonly release: () => void;
}

/** Null where the browser can draw neither way. */
export function greyPainter(canvas: HTMLCanvasElement, image: GreyImage): GreyPainter | null {
  canvas.width = image.width;
  canvas.height = image.height;
  return byGraphicsCard(canvas, image) ?? byPixel(canvas, image);
}

const VERTEX = `#version 300 es
void main() {
  // One triangle that covers everything.
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
precision highp usampler2D;
uniform usampler2D values;
uniform vec2 ends;
out vec4 colour;
void main() {
  ivec2 size = textureSize(values, 0);
  ivec2 at = ivec2(gl_FragCoord.x, float(size.y) - gl_FragCoord.y);
  float value = float(texelFetch(values, at, 0).r);
  colour = vec4(vec3(clamp((value - ends.x) / (ends.y - ends.x), 0.0, 1.0)), 1.0);
}`;

function byGraphicsCard(canvas: HTMLCanvasElement, { width, height, values }: GreyImage): GreyPainter | null {
  const gl = canvas.getContext("webgl2", {
    alpha: false,
    antialias: false,
    depth: false,
    // Slower by software than pixel by pixel.
    failIfMajorPerformanceCaveat: true,
    // The lens reads it later.
    preserveDrawingBuffer: true,
  });
  if (gl === null) {
    return null;
  }
  const most = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
  const program = linked(gl);
  if (program === null || Math.max(width, height) > most) {
    return null;
  }
  gl.useProgram(program);
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 2);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.R16UI, width, height, 0, gl.RED_INTEGER, gl.UNSIGNED_SHORT, values);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  const ends = gl.getUniformLocation(program, "ends");
  return {
    kind: "webgl2",
    paint: (black, white) => {
      gl.viewport(0, 0, width, height);
      gl.uniform2f(ends, black, white);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    },
    release: () => {
      gl.deleteTexture(texture);
      gl.deleteProgram(program);
    },
  };
}

function linked(gl: WebGL2RenderingContext): WebGLProgram | null {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind);
    if (shader === null) {
      return null;
    }
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return gl.getProgramParameter(program, gl.LINK_STATUS) === true ? program : null;
}

function byPixel(canvas: HTMLCanvasElement, { width, height, values }: GreyImage): GreyPainter | null {
  const context = canvas.getContext("2d");
  if (context === null) {
    return null;
  }
  const shown = context.createImageData(width, height);
  const words = new Uint32Array(shown.data.buffer);
  return {
    kind: "2d",
    paint: (black, white) => {
      const lookup = greyLookup(black, white);
      for (let at = 0; at < words.length; at += 1) {
        words[at] = lookup[values[at] ?? 0] ?? 0;
      }
      context.putImageData(shown, 0, 0);
    },
    release: () => undefined,
  };
}

/** The opaque grey of each value, as a word of the canvas: all its bytes but one are the same. */
export function greyLookup(black: number, white: number): Uint32Array {
  const lookup = new Uint32Array(1 << 16);
  for (let value = 0; value < lookup.length; value += 1) {
    const share = Math.min(Math.max((value - black) / (white - black), 0), 1);
    lookup[value] = 0xff000000 | (Math.round(share * 255) * 0x010101);
  }
  return lookup;
}
